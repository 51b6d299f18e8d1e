/* SPDX-License-Identifier: Apache-2.0 */
/* The program that chooses the member of a fanout group: PACKET_FANOUT_DATA, fanout_set_data() in the kernel. */
#include "internal.h"
#include "barrier.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct tpk_program {
	uint32_t references; /* atomic */
	int fd;              /* eBPF; -1: none */
	uint16_t length;     /* instructions; 0: no classic program */
	struct sock_filter filter[];
};

int tpk_program_create(
	const struct sock_filter *filter, uint16_t length, int program_fd, struct tpk_program **ret_program)
{
	size_t bytes = filter ? length * sizeof(*filter) : 0;
	struct tpk_program *program = malloc(sizeof(*program) + bytes);

	if (!program)
		return -ENOMEM;
	program->references = 1;
	program->length = filter ? length : 0;
	if (filter)
		memcpy(program->filter, filter, bytes);
	program->fd = program_fd < 0 ? -1 : fcntl(program_fd, F_DUPFD_CLOEXEC, 0);
	if (program_fd >= 0 && program->fd < 0) {
		int r = -errno;
		free(program);
		return r;
	}
	*ret_program = program;
	return 0;
}

void tpk_program_put(struct tpk_program *program)
{
	if (!program || !tpk_reference_drop(&program->references))
		return;
	if (program->fd >= 0)
		close(program->fd);
	free(program);
}

void tpk_program_adopt(struct tpacket *handle, struct tpk_program *program)
{
	struct tpk_program *old = handle->fanout_program;

	tpk_reference_take(&program->references);
	handle->fanout_program = program;
	handle->options.fanout_program = program->length ? program->filter : NULL;
	handle->options.fanout_program_length = program->length;
	handle->options.fanout_program_fd = program->fd;
	tpk_program_put(old);
}

int tpk_program_set(int fd, const struct tpk_program *program)
{
	struct sock_fprog argument = {.len = program->length, .filter = (struct sock_filter *)program->filter};
	int r = program->length ? setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &argument, sizeof(argument))
	                        : setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA, &program->fd, sizeof(program->fd));

	return r < 0 ? -errno : 0;
}
