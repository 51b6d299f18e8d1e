/* SPDX-License-Identifier: Apache-2.0 */
/* A transport to begin with: each batch is a datagram to a Unix socket. The kernel copies it, so that nothing is held
 * after publish(), and its queue is the bound: when the reader is slow or not there, publish() says -EAGAIN. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <wirebus/transport.h>

#define MAX_BATCH_BYTES ((size_t)128 << 10)

struct wb_lane {
	struct wb_transport *transport;
	struct wb_lane *next;
	int fd; /* each worker's own, so that no lock is shared */
};

struct wb_transport {
	struct sockaddr_un address;
	struct wb_lane *lanes;
	atomic_bool connected;
	_Atomic uint64_t published, bytes, again;
};

static int check(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	const size_t limit = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	*ret_max_batch_bytes = MAX_BATCH_BYTES;
	if (args->address[0] == '/' && strlen(args->address) <= limit)
		return 0;
	snprintf(ret_error->message, sizeof(ret_error->message),
		"'%.200s' is not the path of a socket: it must begin with '/' and have at most %zu bytes",
		args->address, limit);
	return -EINVAL;
}

static int open_transport(
	const struct wb_transport_args *args, struct wb_transport **ret_transport, struct wb_error *ret_error)
{
	struct wb_transport *transport = calloc(1, sizeof(*transport));

	if (!transport) {
		snprintf(ret_error->message, sizeof(ret_error->message), "%.200s: out of memory", args->url);
		return -ENOMEM;
	}
	transport->address.sun_family = AF_UNIX;
	/* check() has measured it. */
	snprintf(transport->address.sun_path, sizeof(transport->address.sun_path), "%s", args->address);
	*ret_transport = transport;
	return 0;
}

static int open_lane(struct wb_transport *transport, unsigned int (*free_buffers)(void *context), void *context,
	unsigned int total_buffers, struct wb_lane **ret_lane)
{
	struct wb_lane *lane = calloc(1, sizeof(*lane));
	int r;

	if (!lane)
		return -ENOMEM;
	lane->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (lane->fd < 0) {
		r = -errno;
		free(lane);
		return r;
	}
	lane->transport = transport;
	lane->next = transport->lanes;
	transport->lanes = lane;
	*ret_lane = lane;
	return 0;
}

static int publish(struct wb_lane *lane, struct wb_batch *batch, const struct wb_route *route)
{
	struct wb_transport *transport = lane->transport;
	size_t size = batch->size;

	if (size > MAX_BATCH_BYTES)
		return -EMSGSIZE;
	if (sendto(lane->fd, batch->data, size, 0, (struct sockaddr *)&transport->address, sizeof(transport->address)) <
		0) {
		/* Full is still connected; anything else is a reader that is not there, or not yet. */
		transport->connected = errno == EAGAIN;
		transport->again++;
		return -EAGAIN;
	}
	transport->connected = true;
	transport->published++;
	transport->bytes += size;
	/* The kernel has it, and nobody will say whether it was read. After this line the batch is not ours. */
	batch->settle(batch, WB_RESULT_HANDED_OVER, WB_CAUSE_NONE);
	return 0;
}

static int flush(struct wb_transport *transport, int timeout_ms)
{
	return 0; /* nothing is ever held */
}

static void stats(struct wb_transport *transport, struct wb_transport_stats *ret_stats)
{
	*ret_stats = (struct wb_transport_stats){.connected = transport->connected,
		.published = transport->published,
		.settled = transport->published,
		.bytes = transport->bytes,
		.again = transport->again,
		.copied = transport->published};
}

static void close_transport(struct wb_transport *transport)
{
	while (transport && transport->lanes) {
		struct wb_lane *lane = transport->lanes;

		transport->lanes = lane->next;
		close(lane->fd);
		free(lane);
	}
	free(transport);
}

const struct wb_transport_ops wirebus_transport = {
	.abi = WB_TRANSPORT_ABI,
	.name = "unixgram",
	.schemes = (const char *const[]){"unixgram", NULL},
	.capabilities = WB_TRANSPORT_ORDERED,
	.check = check,
	.open = open_transport,
	.lane = open_lane,
	.publish = publish,
	.flush = flush,
	.stats = stats,
	.close = close_transport,
};
