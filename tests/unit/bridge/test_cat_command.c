/* SPDX-License-Identifier: Apache-2.0 */
/* `wirebus cat` and `wirebus schema` as processes: arguments, exit codes, signals, broken pipes, full disks. */
#include "sink_support.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "container.h"

#define BATCHES 40u
#define PACKETS 100u /* in each */

/* A directory with one file of batches, and what a command said. */
struct scene {
	char directory[64];
	char file[96];
	char from[96];
	char out[96];
	char err[96];
};

static void write_batches(const char *path)
{
	const struct wbproto_interface interface = {.index = 3, .link_type = 1, .name = VIEW("veth0")};
	struct wbproto_batch batch = {.session_id = {7},
		.worker_id = 1,
		.stream_id = 1,
		.node = VIEW("lab1"),
		.interfaces = &interface,
		.interface_count = 1};
	uint8_t head[WB_CONTAINER_HEADER_BYTES], entry[WB_CONTAINER_ENTRY_BYTES], message[65536];
	struct wbproto_encoder *encoder;
	FILE *file = fopen(path, "w");
	size_t size;

	assert_non_null(file);
	assert_int_equal(wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &encoder), 0);
	wb_container_header(head);
	fwrite(head, 1, sizeof(head), file);
	for (uint32_t i = 0; i < BATCHES; i++) {
		batch.batch_seq = i + 1;
		batch.first_packet_seq = i * PACKETS + 1;
		assert_int_equal(wbproto_encoder_open(encoder, message, sizeof(message), &batch), 0);
		for (uint32_t j = 0; j < PACKETS; j++) {
			static const uint8_t frame[400];
			const struct wbproto_packet packet = {.time_unix_ns = 1000000000u * (i + 1),
				.interface_index = 3,
				.data = frame,
				.captured_length = sizeof(frame),
				.original_length = sizeof(frame)};

			assert_int_equal(wbproto_encoder_append(encoder, &packet), 0);
		}
		assert_int_equal(wbproto_encoder_seal(encoder, &batch, &size), 0);
		wb_container_entry(entry, 1, NULL, 0, message, size);
		fwrite(entry, 1, sizeof(entry), file);
		fwrite(message, 1, size, file);
	}
	wbproto_encoder_destroy(encoder);
	assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	strcpy(scene->directory, "/tmp/wirebus-test-XXXXXX");
	assert_non_null(mkdtemp(scene->directory));
	snprintf(scene->file, sizeof(scene->file), "%s/a.wbs", scene->directory);
	snprintf(scene->from, sizeof(scene->from), "file://%s", scene->directory);
	snprintf(scene->out, sizeof(scene->out), "%s/out", scene->directory);
	snprintf(scene->err, sizeof(scene->err), "%s/err", scene->directory);
	write_batches(scene->file);
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	unlink(scene->file);
	unlink(scene->out);
	unlink(scene->err);
	assert_int_equal(rmdir(scene->directory), 0);
	free(scene);
	return 0;
}

/* Start a command with its standard output on out_fd; arguments end with NULL. */
static pid_t start(const struct scene *scene, int (*command)(int, char **), char **arguments, int out_fd)
{
	int argc = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	while (arguments[argc])
		argc++;
	dup2(out_fd, STDOUT_FILENO);
	close_range(STDERR_FILENO + 1, UINT_MAX, 0); /* the other end of a pipe, say */
	dup2(open(scene->err, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), STDERR_FILENO);
	alarm(30);
	exit(command(argc, arguments)); /* not _exit(): the leak check is part of the test */
}

static int wait_for(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status))
		fail_msg("ended by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

/* Run a command with standard output in a file (given path, NULL: scene->out). */
static int run_to(const struct scene *scene, int (*command)(int, char **), const char *path, char **arguments)
{
	int fd = open(path ? path : scene->out, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	pid_t pid;

	assert_true(fd >= 0);
	pid = start(scene, command, arguments, fd);
	close(fd);
	return wait_for(pid);
}

#define ARGUMENTS(...) ((char *[]){__VA_ARGS__, NULL})
#define TEXT(text) ((char[]){text}) /* arguments are not const */

static char *content(const char *path, size_t *ret_length)
{
	FILE *file = fopen(path, "r");
	char *text = malloc(8u << 20);

	assert_non_null(file);
	assert_non_null(text);
	*ret_length = fread(text, 1, (8u << 20) - 1, file);
	text[*ret_length] = '\0';
	fclose(file);
	return text;
}

static void expect_message(const struct scene *scene, const char *part)
{
	size_t length;
	char *text = content(scene->err, &length);

	if (!strstr(text, part))
		fail_msg("'%s' is not in: %s", part, text);
	free(text);
}

static void test_whole(void **state)
{
	struct scene *scene = *state;
	size_t length, lines = 0;
	char *text;

	assert_int_equal(run_to(scene, wb_cmd_cat, NULL, ARGUMENTS(TEXT("cat"), TEXT("--from"), scene->from)), 0);
	text = content(scene->out, &length);
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, BATCHES * PACKETS);
	free(text);
	expect_message(scene, "4000 packets, 40 messages, 1 streams (end of data)");
}

static void test_pcapng_and_summary(void **state)
{
	struct scene *scene = *state;
	struct pcapng_facts facts;
	char summary[128], *text;
	size_t length;

	snprintf(summary, sizeof(summary), "%s.summary", scene->directory);
	assert_int_equal(run_to(scene, wb_cmd_cat, "/dev/null",
				 ARGUMENTS(TEXT("cat"), TEXT("--from"), scene->from, TEXT("-o"), TEXT("pcapng"),
					 TEXT("-w"), scene->out, TEXT("-c"), TEXT("150"), TEXT("--summary"), summary)),
		0);
	text = content(scene->out, &length);
	check_pcapng(text, length, &facts);
	assert_int_equal(facts.packets, 150);
	assert_int_equal(facts.statistics, 1);
	free(text);
	text = content(summary, &length);
	assert_non_null(strstr(text, "{\"end\":\"count reached\",\"messages\":"));
	assert_non_null(strstr(text, ",\"packets\":150,"));
	free(text);
	unlink(summary);
}

static void test_usage(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(run_to(scene, wb_cmd_cat, NULL, ARGUMENTS(TEXT("cat"))), 2);
	expect_message(scene, "--from is missing");
	assert_int_equal(
		run_to(scene, wb_cmd_cat, NULL, ARGUMENTS(TEXT("cat"), TEXT("--from"), TEXT("nonsense://x"))), 2);
	expect_message(scene, "nonsense");
	assert_int_equal(run_to(scene, wb_cmd_cat, NULL,
				 ARGUMENTS(TEXT("cat"), TEXT("--from"), scene->from, TEXT("-o"), TEXT("xml"))),
		2);
	expect_message(scene, "xml");
	assert_int_equal(run_to(scene, wb_cmd_cat, NULL, ARGUMENTS(TEXT("cat"), TEXT("--folow"))), 2);
	expect_message(scene, "--follow");
	assert_int_equal(run_to(scene, wb_cmd_cat, NULL, ARGUMENTS(TEXT("cat"), TEXT("--help"))), 0);
}

static void test_failures(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(
		run_to(scene, wb_cmd_cat, NULL, ARGUMENTS(TEXT("cat"), TEXT("--from"), TEXT("file:///no/such/place"))),
		1);
	expect_message(scene, "/no/such/place");
	assert_int_equal(
		run_to(scene, wb_cmd_cat, "/dev/full", ARGUMENTS(TEXT("cat"), TEXT("--from"), scene->from)), 1);
	expect_message(scene, "No space left on device");
	assert_int_equal(run_to(scene, wb_cmd_cat, "/dev/full",
				 ARGUMENTS(TEXT("cat"), TEXT("--from"), scene->from, TEXT("-o"), TEXT("json"))),
		1);
	/* So little that it fails only at the very end. */
	assert_int_equal(run_to(scene, wb_cmd_cat, "/dev/full",
				 ARGUMENTS(TEXT("cat"), TEXT("--from"), scene->from, TEXT("-o"), TEXT("pcapng"),
					 TEXT("-c"), TEXT("1"))),
		1);
	expect_message(scene, "No space left on device");
	assert_int_equal(
		run_to(scene, wb_cmd_cat, NULL,
			ARGUMENTS(TEXT("cat"), TEXT("--from"), scene->from, TEXT("-w"), TEXT("/no/such/place/file"))),
		1);
	expect_message(scene, "/no/such/place/file");
	assert_int_equal(run_to(scene, wb_cmd_cat, NULL,
				 ARGUMENTS(TEXT("cat"), TEXT("--from"), scene->from, TEXT("--summary"),
					 TEXT("/no/such/place/file"))),
		1);
}

static void test_broken_pipe(void **state)
{
	struct scene *scene = *state;
	char first[100];
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = start(scene, wb_cmd_cat, ARGUMENTS(TEXT("cat"), TEXT("--from"), scene->from, TEXT("-o"), TEXT("json")),
		fds[1]);
	close(fds[1]);
	assert_int_equal(read(fds[0], first, sizeof(first)), sizeof(first));
	close(fds[0]);
	assert_int_equal(wait_for(pid), 0);
	expect_message(scene, "(reader gone)");
}

/* Following, everything is there at once though the end never comes; a signal ends it with a whole file. */
static void test_signals(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT};
	struct scene *scene = *state;

	for (size_t i = 0; i < 2; i++) {
		int fd = open(scene->out, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		pid_t pid = start(scene, wb_cmd_cat,
			ARGUMENTS(
				TEXT("cat"), TEXT("--from"), scene->from, TEXT("--follow"), TEXT("-o"), TEXT("pcapng")),
			fd);
		struct stat status = {0};
		struct pcapng_facts facts;
		size_t length;
		char *text;

		for (int wait = 0; wait < 1000 && status.st_size < (off_t)(BATCHES * PACKETS * 400); wait++) {
			usleep(10000);
			assert_int_equal(fstat(fd, &status), 0);
		}
		assert_true(status.st_size >= (off_t)(BATCHES * PACKETS * 400));
		close(fd);
		assert_int_equal(kill(pid, signals[i]), 0);
		assert_int_equal(wait_for(pid), 0);
		text = content(scene->out, &length);
		check_pcapng(text, length, &facts);
		assert_int_equal(facts.packets, BATCHES * PACKETS);
		assert_int_equal(facts.statistics, 1);
		free(text);
		expect_message(scene, "(stopped)");
	}
}

/* Until a pipe takes no more. */
static void wait_full(int fd)
{
	int before = -1, now = 0;

	for (int i = 0; i < 200 && (now == 0 || now != before); i++) {
		before = now;
		usleep(100000);
		assert_int_equal(ioctl(fd, FIONREAD, &now), 0);
	}
	assert_true(now > 0 && now == before);
}

/* Until a process has been told of a signal: another one before that would be the same. */
static void wait_taken(pid_t pid, int number)
{
	unsigned long long pending = ~0ull;
	char path[64], line[128];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	for (int i = 0; i < 2000 && pending >> (number - 1) & 1; i++) {
		FILE *file = fopen(path, "re");

		assert_non_null(file);
		while (fgets(line, sizeof(line), file))
			sscanf(line, "ShdPnd: %llx", &pending);
		fclose(file);
		usleep(10000);
	}
	assert_false(pending >> (number - 1) & 1);
}

/* Output that nobody takes does not keep the program from ending: a second signal is enough. */
static void test_stuck_output(void **state)
{
	struct scene *scene = *state;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = start(scene, wb_cmd_cat, ARGUMENTS(TEXT("cat"), TEXT("--from"), scene->from, TEXT("-o"), TEXT("json")),
		fds[1]);
	wait_full(fds[0]);
	assert_int_equal(kill(pid, SIGTERM), 0);
	wait_taken(pid, SIGTERM);
	usleep(100000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(wait_for(pid), 1);
	expect_message(scene, "second signal");
	close(fds[0]);
	close(fds[1]);
}

static void test_terminal(void **state)
{
	struct scene *scene = *state;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), fd;

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		skip();
	fd = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(wait_for(start(scene, wb_cmd_cat,
				 ARGUMENTS(TEXT("cat"), TEXT("--from"), scene->from, TEXT("-o"), TEXT("pcapng")), fd)),
		2);
	expect_message(scene, "not for a terminal");
	assert_int_equal(wait_for(start(scene, wb_cmd_schema, ARGUMENTS(TEXT("schema"), TEXT("descriptor")), fd)), 2);
	close(fd);
	close(master);
}

static void test_schema(void **state)
{
	struct scene *scene = *state;
	const void *set;
	size_t length, set_length;
	char *text;

	assert_int_equal(run_to(scene, wb_cmd_schema, NULL,
				 ARGUMENTS(TEXT("schema"), TEXT("print"), TEXT("packet_record.proto"))),
		0);
	text = content(scene->out, &length);
	assert_string_equal(text, wbproto_schema_text("packet_record.proto"));
	free(text);
	assert_int_equal(run_to(scene, wb_cmd_schema, NULL, ARGUMENTS(TEXT("schema"), TEXT("print"))), 0);
	text = content(scene->out, &length);
	assert_memory_equal(text, "// file: packet_batch.proto\n", 28);
	assert_non_null(strstr(text, "\n// file: packet_record.proto\n"));
	assert_non_null(strstr(text, wbproto_schema_text("packet_batch.proto")));
	free(text);
	assert_int_equal(run_to(scene, wb_cmd_schema, NULL, ARGUMENTS(TEXT("schema"), TEXT("descriptor"))), 0);
	set = wbproto_schema_descriptor_set(&set_length);
	text = content(scene->out, &length);
	assert_int_equal(length, set_length);
	assert_memory_equal(text, set, length);
	free(text);
	assert_int_equal(run_to(scene, wb_cmd_schema, "/dev/full", ARGUMENTS(TEXT("schema"), TEXT("print"))), 1);
	assert_int_equal(run_to(scene, wb_cmd_schema, NULL, ARGUMENTS(TEXT("schema"))), 2);
	assert_int_equal(
		run_to(scene, wb_cmd_schema, NULL, ARGUMENTS(TEXT("schema"), TEXT("print"), TEXT("other.proto"))), 2);
	expect_message(scene, "other.proto");
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_whole),
		SCENE(test_pcapng_and_summary),
		SCENE(test_usage),
		SCENE(test_failures),
		SCENE(test_broken_pipe),
		SCENE(test_signals),
		SCENE(test_stuck_output),
		SCENE(test_terminal),
		SCENE(test_schema),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
