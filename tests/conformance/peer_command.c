/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program reads the bus, whatever that is: it writes each message to its standard output, after the message's length
 * as 4 bytes, the most significant first. It is told by its environment where to read (external.c), and ended by
 * SIGTERM.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conformance.h"

#define MAX_MESSAGE_BYTES (UINT32_C(128) << 20)
#define END_MS 5000

struct message {
	struct message *next;
	size_t size;
	uint8_t data[];
};

struct peer {
	pid_t pid;
	FILE *output;
	pthread_t thread;
	pthread_mutex_t lock; /* of everything below */
	pthread_cond_t arrived;
	struct message *first, **last;
	struct message *current; /* the last one that was received */
	bool ended;              /* nobody holds the other end of the output any more */
};

static const char *command;

void conf_peer_command_set(const char *text)
{
	command = text;
}

static struct message *read_message(FILE *output)
{
	struct message *message;
	uint8_t head[4];
	size_t size;

	if (fread(head, 1, sizeof(head), output) != sizeof(head))
		return NULL;
	size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (size > MAX_MESSAGE_BYTES) {
		conf_fail("the reader says that a message has %zu bytes", size);
		return NULL;
	}
	message = malloc(sizeof(*message) + size);
	if (!message)
		abort();
	message->next = NULL;
	message->size = size;
	if (fread(message->data, 1, size, output) == size)
		return message;
	free(message);
	return NULL;
}

/* Takes everything at once, so that the reader never waits for the suite. */
static void *collect(void *argument)
{
	struct peer *peer = argument;
	struct message *message;

	while ((message = read_message(peer->output))) {
		pthread_mutex_lock(&peer->lock);
		*peer->last = message;
		peer->last = &message->next;
		pthread_cond_signal(&peer->arrived);
		pthread_mutex_unlock(&peer->lock);
	}
	pthread_mutex_lock(&peer->lock);
	peer->ended = true;
	pthread_cond_signal(&peer->arrived);
	pthread_mutex_unlock(&peer->lock);
	return NULL;
}

/* Returns the process, and the other end of its standard output. */
static pid_t start_command(int *ret_fd)
{
	int ends[2];
	pid_t pid;

	if (pipe(ends) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		/* Whatever sh starts ends with it. */
		setpgid(0, 0);
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	setpgid(pid, pid);
	close(ends[1]);
	*ret_fd = ends[0];
	return pid;
}

static void *open_peer(const struct conf_bus *bus, bool stalled)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	int fd = -1;

	(void)bus;
	(void)stalled;
	if (!peer)
		abort();
	peer->last = &peer->first;
	pthread_mutex_init(&peer->lock, NULL);
	pthread_cond_init(&peer->arrived, NULL);
	peer->pid = start_command(&fd);
	peer->output = fd >= 0 ? fdopen(fd, "rb") : NULL;
	if (peer->pid < 0 || !peer->output || pthread_create(&peer->thread, NULL, collect, peer) != 0)
		abort();
	return peer;
}

static struct timespec after_ms(int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return until;
}

static int receive(void *context, int timeout_ms, const void **ret_data, size_t *ret_size)
{
	const struct timespec until = after_ms(timeout_ms);
	struct peer *peer = context;
	int r = 0;

	pthread_mutex_lock(&peer->lock);
	while (!peer->first && r == 0)
		r = pthread_cond_timedwait(&peer->arrived, &peer->lock, &until);
	free(peer->current);
	peer->current = peer->first;
	if (peer->current) {
		peer->first = peer->current->next;
		if (!peer->first)
			peer->last = &peer->first;
		*ret_data = peer->current->data;
		*ret_size = peer->current->size;
	}
	r = peer->current != NULL;
	pthread_mutex_unlock(&peer->lock);
	return r;
}

static void end_command(struct peer *peer)
{
	const int64_t end = conf_now_ms() + END_MS;
	int status;

	kill(-peer->pid, SIGTERM);
	while (waitpid(peer->pid, &status, WNOHANG) == 0) {
		if (conf_now_ms() >= end)
			kill(-peer->pid, SIGKILL);
		conf_pause_ms(2);
	}
	CONF_CHECK(
		(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) || (WIFEXITED(status) && WEXITSTATUS(status) == 0),
		"the reader '%s' ended with status %#x", command, (unsigned int)status);
}

/* What the command has started may outlive it, and keep the output open. */
static void end_output(struct peer *peer)
{
	const struct timespec until = after_ms(END_MS);
	int r = 0;

	pthread_mutex_lock(&peer->lock);
	while (!peer->ended && r == 0)
		r = pthread_cond_timedwait(&peer->arrived, &peer->lock, &until);
	if (!peer->ended) {
		conf_fail("the reader '%s' has ended, but not what it started", command);
		kill(-peer->pid, SIGKILL);
	}
	pthread_mutex_unlock(&peer->lock);
	pthread_join(peer->thread, NULL);
}

static void close_peer(void *context)
{
	struct peer *peer = context;
	struct message *next;

	end_command(peer);
	end_output(peer);
	fclose(peer->output);
	free(peer->current);
	for (; peer->first; peer->first = next) {
		next = peer->first->next;
		free(peer->first);
	}
	pthread_cond_destroy(&peer->arrived);
	pthread_mutex_destroy(&peer->lock);
	free(peer);
}

const struct conf_peer_ops conf_peer_command = {.open = open_peer, .receive = receive, .close = close_peer};
