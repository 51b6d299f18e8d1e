/* SPDX-License-Identifier: Apache-2.0 */
#include "extcap_fifo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

#define RETRY_MS 20
#define BUFFER_BYTES (2 * WB_OUTPUT_FLUSH_BYTES)

static bool is_file(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

/* Opening without a reader would block, deaf to signals: so it is tried until there is one. */
static int open_writer(const char *path, const atomic_bool *stop, unsigned int wait_ms)
{
	const uint64_t end = wb_monotonic_ms() + wait_ms;

	for (;;) {
		int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

		if (fd >= 0 && is_file(fd)) {
			close(fd);
			return -EISNAM;
		}
		if (fd >= 0)
			return fd;
		if (errno != ENXIO && errno != EINTR)
			return -errno;
		if (stop && atomic_load_explicit(stop, memory_order_relaxed))
			return -ECANCELED;
		if (wait_ms && wb_monotonic_ms() >= end)
			return -ETIMEDOUT;
		poll(NULL, 0, RETRY_MS);
	}
}

int wb_extcap_fifo_open(const char *path, const atomic_bool *stop, struct wb_output *ret_output)
{
	struct wb_output output = {.name = path};
	int fd = open_writer(path, stop, 0);

	if (fd < 0)
		return fd;
	/* From here on a full pipe is to be waited for. */
	if (fcntl(fd, F_SETFL, 0) < 0 || !(output.stream = fdopen(fd, "w"))) {
		int r = -errno;

		close(fd);
		return r;
	}
	output.buffer = malloc(BUFFER_BYTES);
	if (!output.buffer) {
		fclose(output.stream);
		return -ENOMEM;
	}
	setvbuf(output.stream, output.buffer, _IOFBF, BUFFER_BYTES);
	*ret_output = output;
	return 0;
}

void wb_extcap_fifo_refuse(const char *path, unsigned int wait_ms)
{
	struct stat status;
	int fd;

	if (stat(path, &status) < 0 || !S_ISFIFO(status.st_mode))
		return;
	fd = open_writer(path, NULL, wait_ms);
	if (fd >= 0)
		close(fd);
}
