/* SPDX-License-Identifier: Apache-2.0 */
/* The fanout group: packet(7), PACKET_FANOUT; fanout_add() and fanout_set_data() in net/packet/af_packet.c. */
#include "internal.h"

#include <sys/socket.h>

#define FANOUT_FLAGS                                                                                                   \
	(TPACKET_FANOUT_DEFRAG | TPACKET_FANOUT_ROLL | TPACKET_FANOUT_IGNORE_OUTGOING | TPACKET_FANOUT_UNIQUE_ID)

static const struct {
	unsigned int ours;
	uint32_t kernels;
} flags[] = {
	{TPACKET_FANOUT_DEFRAG, PACKET_FANOUT_FLAG_DEFRAG},
	{TPACKET_FANOUT_ROLL, PACKET_FANOUT_FLAG_ROLLOVER},
	{TPACKET_FANOUT_IGNORE_OUTGOING, PACKET_FANOUT_FLAG_IGNORE_OUTGOING},
	{TPACKET_FANOUT_UNIQUE_ID, PACKET_FANOUT_FLAG_UNIQUEID},
};
#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

static int check_type(const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	if ((int)options->fanout < TPACKET_FANOUT_HASH || options->fanout > TPACKET_FANOUT_EBPF)
		return tpk_refuse(ret_error, "fanout: %d: must be between %d and %d, or %d for none",
			(int)options->fanout, TPACKET_FANOUT_HASH, TPACKET_FANOUT_EBPF, TPACKET_FANOUT_NONE);
	if (options->fanout_flags & ~FANOUT_FLAGS)
		return tpk_refuse(ret_error, "fanout_flags: 0x%x: only the bits 0x%x are known", options->fanout_flags,
			FANOUT_FLAGS);
	if (options->fanout == TPACKET_FANOUT_ROLLOVER && (options->fanout_flags & TPACKET_FANOUT_ROLL))
		return tpk_refuse(ret_error, "fanout_flags: 0x%x: roll over says nothing new to fanout rollover",
			options->fanout_flags);
	if ((options->fanout_flags & TPACKET_FANOUT_UNIQUE_ID) && options->fanout_id != 0)
		return tpk_refuse(ret_error, "fanout_id: %u: must be 0 when the kernel is to choose it (unique id)",
			options->fanout_id);
	return 0;
}

static int check_program(const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	if (options->fanout == TPACKET_FANOUT_CBPF && !options->fanout_program)
		return tpk_refuse(ret_error, "fanout_program: NULL: fanout %d (cBPF) needs the program that chooses",
			TPACKET_FANOUT_CBPF);
	if (options->fanout != TPACKET_FANOUT_CBPF && options->fanout_program)
		return tpk_refuse(ret_error, "fanout_program: only fanout %d (cBPF) has one, not %d",
			TPACKET_FANOUT_CBPF, (int)options->fanout);
	if (options->fanout_program &&
		(options->fanout_program_length == 0 || options->fanout_program_length > BPF_MAXINSNS))
		return tpk_refuse(ret_error, "fanout_program_length: %u: a program has between 1 and %d instructions",
			options->fanout_program_length, BPF_MAXINSNS);
	if (options->fanout == TPACKET_FANOUT_EBPF && options->fanout_program_fd < 0)
		return tpk_refuse(ret_error, "fanout_program_fd: %d: fanout %d (eBPF) needs the program that chooses",
			options->fanout_program_fd, TPACKET_FANOUT_EBPF);
	if (options->fanout != TPACKET_FANOUT_EBPF && options->fanout_program_fd >= 0)
		return tpk_refuse(ret_error, "fanout_program_fd: %d: only fanout %d (eBPF) has one, not %d",
			options->fanout_program_fd, TPACKET_FANOUT_EBPF, (int)options->fanout);
	return 0;
}

/* What keeps so few bytes of a packet could not be told from a marker. */
static int check_markers(const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	if (options->snap_length <= TPK_MARKER_BYTES)
		return tpk_refuse(ret_error, "snap_length: %u: must be more than %u with fanout_join_running",
			options->snap_length, TPK_MARKER_BYTES);
	for (uint16_t i = 0; options->filter && i < options->filter_length; i++) {
		const struct sock_filter *at = &options->filter[i];
		if (at->code == (BPF_RET | BPF_K) && at->k != 0 && at->k <= TPK_MARKER_BYTES)
			return tpk_refuse(ret_error,
				"filter: instruction %u keeps %u bytes: must be more than %u with fanout_join_running",
				i, at->k, TPK_MARKER_BYTES);
	}
	return 0;
}

int tpk_fanout_check(const struct tpacket_options *options, struct tpacket_error *ret_error)
{
	bool has_group = options->fanout != TPACKET_FANOUT_NONE;

	if (!has_group && options->fanout_join_running)
		return tpk_refuse(ret_error, "fanout_join_running: true: needs fanout");
	int r = has_group ? check_type(options, ret_error) : 0;
	if (r == 0)
		r = check_program(options, ret_error);
	if (r == 0 && options->fanout_join_running)
		r = check_markers(options, ret_error);
	return r;
}

/*
 * A member does not look at its own PACKET_IGNORE_OUTGOING any more: the group has a flag for that, and is what the
 * device calls.
 */
static unsigned int flags_of(const struct tpacket_options *options)
{
	return options->fanout_flags | (options->ignore_outgoing ? TPACKET_FANOUT_IGNORE_OUTGOING : 0);
}

static uint32_t fanout_argument(const struct tpacket_options *options)
{
	uint32_t type = (uint32_t)options->fanout;

	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (flags_of(options) & flags[i].ours)
			type |= flags[i].kernels;
	}
	return options->fanout_id | type << 16;
}

static const char *join_reason(const struct tpacket *handle, int error)
{
	switch (error) {
	case -EALREADY:
		return "the socket is a member of a group already";
	case -ENOSPC:
		return "the group has as many members as it was made for, which is 256 if nothing else was said";
	case -EINVAL:
		return handle->link.is_down ? "this kernel cannot join while the interface is down"
		                            : "all members need the same type, flags, protocol and interface";
	default:
		return "PACKET_FANOUT";
	}
}

static int join(struct tpacket *handle, struct tpacket_error *ret_error)
{
	const struct tpacket_options *options = &handle->options;
	uint32_t argument = fanout_argument(options);

	/* Exactly 4 bytes: kernels before 5.10 do not take struct fanout_args. */
	int r = setsockopt(handle->fd, SOL_PACKET, PACKET_FANOUT, &argument, sizeof(argument)) < 0 ? -errno : 0;
	if (r == 0) {
		handle->is_joined = true;
		handle->lacks_program = true;
	}
	/* The reason is looked for in what belongs to the reader, which there is none of while it is opened. */
	if (r == 0 || !ret_error)
		return r;
	return tpk_error(ret_error, r, "fanout: type %d, flags 0x%x, id %u: %s", (int)options->fanout,
		flags_of(options), options->fanout_id, join_reason(handle, r));
}

/* 0 has two meanings: no group, and the group 0 by hash without flags. Only is_joined tells. */
static int read_back(int fd, uint32_t *ret_argument)
{
	socklen_t length = sizeof(*ret_argument);

	return getsockopt(fd, SOL_PACKET, PACKET_FANOUT, ret_argument, &length) < 0 ? -errno : 0;
}

static bool has_program(const struct tpacket_options *options)
{
	return options->fanout == TPACKET_FANOUT_CBPF || options->fanout == TPACKET_FANOUT_EBPF;
}

static int set_program(struct tpacket *handle, struct tpacket_error *ret_error)
{
	const struct tpacket_options *options = &handle->options;
	int r = tpk_program_set(handle->fd, handle->fanout_program);

	if (r == 0)
		return 0;
	if (options->fanout_program)
		return tpk_error(ret_error, r, "fanout_program: the kernel refuses this program of %u instructions",
			options->fanout_program_length);
	return tpk_error(ret_error, r, "fanout_program_fd: the kernel refuses this program");
}

int tpk_fanout_join(struct tpacket *handle, struct tpacket_error *ret_error)
{
	const struct tpacket_options *options = &handle->options;
	uint32_t argument = 0;

	if (options->fanout == TPACKET_FANOUT_NONE)
		return 0;
	int r = handle->is_joined ? 0 : join(handle, ret_error);
	if (r < 0)
		return r;
	r = read_back(handle->fd, &argument);
	if (r < 0)
		return tpk_error(ret_error, r, "fanout: reading the id back");
	handle->fanout_id = (int)(argument & 0xffff);
	r = has_program(options) ? set_program(handle, ret_error) : 0;
	handle->lacks_program = r < 0;
	return r;
}

/* Set it in the kernel, for all members. */
static int change_program(struct tpacket *handle, struct tpk_program *program, enum tpacket_fanout type)
{
	int r;

	pthread_mutex_lock(&handle->lock);
	if (tpk_is_closing(handle))
		r = -ESHUTDOWN;
	else if (handle->is_locked)
		r = -EPERM;
	else if (!handle->is_joined || handle->options.fanout != type)
		r = -EINVAL;
	else
		r = tpk_program_set(handle->fd, program);
	if (r == 0) {
		handle->lacks_program = false;
		tpk_program_adopt(handle, program);
	}
	pthread_mutex_unlock(&handle->lock);
	return r;
}

int tpacket_set_fanout_program(
	struct tpacket *handle, const struct sock_filter *program, uint16_t length, int program_fd)
{
	struct tpk_program *copy;

	if (program ? length == 0 || length > BPF_MAXINSNS || program_fd >= 0 : program_fd < 0)
		return -EINVAL;
	int r = tpk_program_create(program, length, program_fd, &copy);
	if (r < 0)
		return r;
	/* No reopening in between: it would set the old one. */
	tpk_group_lock(handle);
	r = change_program(handle, copy, program ? TPACKET_FANOUT_CBPF : TPACKET_FANOUT_EBPF);
	if (r == 0)
		tpk_group_adopt_program(handle, copy);
	tpk_group_unlock(handle);
	tpk_program_put(copy);
	return r;
}

int tpacket_fanout_id(const struct tpacket *handle)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&handle->lock;

	/* A reopening may change it. */
	pthread_mutex_lock(lock);
	int r = handle->fanout_id;
	pthread_mutex_unlock(lock);
	return r;
}

static unsigned int decode_flags(uint32_t argument)
{
	unsigned int r = 0;

	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (argument >> 16 & flags[i].kernels)
			r |= flags[i].ours;
	}
	return r;
}

int tpacket_fanout_group(
	const struct tpacket *handle, uint16_t *ret_id, enum tpacket_fanout *ret_type, unsigned int *ret_flags)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)&handle->lock;
	uint32_t argument = 0;

	pthread_mutex_lock(lock);
	int r = handle->is_joined ? read_back(handle->fd, &argument) : -ENOENT;
	pthread_mutex_unlock(lock);
	if (r < 0)
		return r;
	if (ret_id)
		*ret_id = (uint16_t)argument;
	if (ret_type)
		*ret_type = (enum tpacket_fanout)(argument >> 16 & 0xff);
	if (ret_flags)
		*ret_flags = decode_flags(argument);
	return 0;
}
