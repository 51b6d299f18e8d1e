/* SPDX-License-Identifier: Apache-2.0 */
#include "own.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"
#include "log.h"

/* As many as a program can hold by their local ends. */
#define MOST_CONNECTIONS 1024
/* A connection ends within this time: TIME_WAIT, FIN_WAIT_2 and most retransmissions of what was left. */
#define LINGER_NS UINT64_C(120000000000)
/* While a broker is away each attempt is a connection: no more than so many closed ones are kept. */
#define MOST_CLOSED 64

struct entry {
	struct wb_own_connection connection;
	unsigned int uses;  /* 0: closed */
	uint64_t closed_ns; /* monotonic */
};

struct wb_own {
	pthread_mutex_t lock;
	struct entry entries[MOST_CONNECTIONS]; /* in the order in which they were opened */
	size_t count;
	bool told_full;
	struct wb_own_connection connections[MOST_CONNECTIONS]; /* of the entries, for composing */
	struct wb_own_rings *first;
};

int wb_own_create(struct wb_own **ret_own)
{
	struct wb_own *own = calloc(1, sizeof *own);
	int r;

	if (!own)
		return -ENOMEM;
	r = -pthread_mutex_init(&own->lock, NULL);
	if (r < 0) {
		free(own);
		return r;
	}
	*ret_own = own;
	return 0;
}

void wb_own_destroy(struct wb_own *own)
{
	if (!own)
		return;
	pthread_mutex_destroy(&own->lock);
	free(own);
}

static int set_rings(struct wb_own_rings *rings, const struct wb_filter *filter)
{
	int result = 0;

	for (unsigned int i = 0; i < rings->count; i++) {
		int r = tpacket_set_filter(rings->rings[i], filter->code, filter->length);

		if (r < 0 && result == 0)
			result = r;
	}
	return result;
}

/* Compose and attach, unless that is what is attached already. */
static int set(struct wb_own *own, struct wb_own_rings *rings, enum wb_own_form form)
{
	struct wb_filter filter = {0};
	int r = wb_own_compose(
		own->connections, own->count, form, rings->link, &rings->user, rings->keep_bytes, &filter);

	if (r < 0)
		return r;
	if (filter.length == rings->current.length &&
		memcmp(filter.code, rings->current.code, filter.length * sizeof *filter.code) == 0) {
		wb_filter_fini(&filter);
		return 0;
	}
	r = set_rings(rings, &filter);
	/* Of several rings some may have it. Then the next change sets it anew. */
	wb_filter_fini(&rings->current);
	if (r < 0)
		wb_filter_fini(&filter);
	else
		rings->current = filter;
	return r;
}

/* Under the lock. */
static void apply_to(struct wb_own *own, struct wb_own_rings *rings)
{
	int r = set(own, rings, rings->form);

	/* Longer than the kernel takes, or than net.core.optmem_max allows. */
	if ((r == -E2BIG || r == -ENOMEM) && rings->form == WB_OWN_EXACT) {
		r = set(own, rings, WB_OWN_LOCAL);
		if (r == 0 && !rings->told_merged)
			wb_log(WB_LOG_WARNING,
				"capture %s: %zu connections of wirebus's own are too many for a filter: they are left "
				"out by their local address and port alone from now on",
				rings->name, own->count);
		rings->told_merged = rings->told_merged || r == 0;
	}
	if (r < 0 && !rings->told_failed)
		wb_log(WB_LOG_ERROR,
			"capture %s: what wirebus sends to its buses is captured: cannot change the filter: %s",
			rings->name, strerror(-r));
	rings->told_failed = r < 0;
}

static void apply(struct wb_own *own)
{
	for (size_t i = 0; i < own->count; i++)
		own->connections[i] = own->entries[i].connection;
	for (struct wb_own_rings *rings = own->first; rings; rings = rings->next)
		apply_to(own, rings);
}

void wb_own_join(struct wb_own *own, struct wb_own_rings *rings)
{
	pthread_mutex_lock(&own->lock);
	rings->next = own->first;
	own->first = rings;
	if (own->count)
		apply_to(own, rings);
	pthread_mutex_unlock(&own->lock);
}

int wb_own_relink(struct wb_own *own, struct wb_own_rings *rings, enum wb_own_link link, struct wb_filter *user)
{
	int r;

	pthread_mutex_lock(&own->lock);
	wb_filter_fini(&rings->user);
	rings->user = *user;
	rings->link = link;
	*user = (struct wb_filter){0};
	apply_to(own, rings);
	r = rings->told_failed ? -EIO : 0;
	pthread_mutex_unlock(&own->lock);
	return r;
}

void wb_own_leave(struct wb_own *own, struct wb_own_rings *rings)
{
	struct wb_own_rings **at;

	if (own) {
		pthread_mutex_lock(&own->lock);
		for (at = &own->first; *at && *at != rings;)
			at = &(*at)->next;
		if (*at)
			*at = rings->next;
		pthread_mutex_unlock(&own->lock);
	}
	wb_filter_fini(&rings->user);
	wb_filter_fini(&rings->current);
	rings->count = 0;
}

/* An end as bytes; IPv4 in IPv6 (::ffff:a.b.c.d) goes over the wire as IPv4. Returns the family, 0 for others. */
static int take_end(const struct sockaddr *end, uint8_t *ret_address, bool *ret_any, uint16_t *ret_port)
{
	const struct sockaddr_in6 *v6 = (const void *)end;
	const struct sockaddr_in *v4 = (const void *)end;
	static const uint8_t zero[16];
	int family = end->sa_family;

	memset(ret_address, 0, 16);
	if (family == AF_INET) {
		memcpy(ret_address, &v4->sin_addr, 4);
		*ret_port = ntohs(v4->sin_port);
	} else if (family == AF_INET6) {
		*ret_port = ntohs(v6->sin6_port);
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
			family = AF_INET;
			memcpy(ret_address, v6->sin6_addr.s6_addr + 12, 4);
		} else {
			memcpy(ret_address, &v6->sin6_addr, 16);
		}
	} else {
		return 0;
	}
	*ret_any = memcmp(ret_address, zero, 16) == 0;
	return family;
}

static bool take(const struct sockaddr *local, const struct sockaddr *remote, struct wb_own_connection *ret_connection)
{
	memset(ret_connection, 0, sizeof *ret_connection);
	ret_connection->family =
		take_end(local, ret_connection->local, &ret_connection->any_local, &ret_connection->local_port);
	ret_connection->any_remote = true;
	if (!ret_connection->family || !ret_connection->local_port)
		return false;
	if (!remote)
		return true;
	return take_end(remote, ret_connection->remote, &ret_connection->any_remote, &ret_connection->remote_port) ==
	               ret_connection->family &&
	       ret_connection->remote_port;
}

static struct entry *find(struct wb_own *own, const struct wb_own_connection *connection)
{
	for (size_t i = 0; i < own->count; i++) {
		const struct wb_own_connection *other = &own->entries[i].connection;

		if (other->family == connection->family && other->any_local == connection->any_local &&
			other->any_remote == connection->any_remote && other->local_port == connection->local_port &&
			other->remote_port == connection->remote_port &&
			memcmp(other->local, connection->local, sizeof other->local) == 0 &&
			memcmp(other->remote, connection->remote, sizeof other->remote) == 0)
			return &own->entries[i];
	}
	return NULL;
}

/* Remove the closed ones of before that time, and the oldest beyond the number that is kept. Returns whether any was.
 */
static bool forget(struct wb_own *own, uint64_t before_ns)
{
	size_t closed = 0;
	size_t kept = 0;

	for (size_t i = 0; i < own->count; i++)
		closed += own->entries[i].uses == 0;
	for (size_t i = 0; i < own->count; i++) {
		const struct entry *entry = &own->entries[i];
		bool goes = entry->uses == 0 && (closed > MOST_CLOSED || entry->closed_ns < before_ns);

		if (goes)
			closed--;
		else
			own->entries[kept++] = *entry;
	}
	closed = own->count - kept;
	own->count = kept;
	return closed > 0;
}

static uint64_t long_ago(uint64_t now_ns)
{
	return now_ns > LINGER_NS ? now_ns - LINGER_NS : 0;
}

/* Under the lock. */
static void opened(struct wb_own *own, const struct wb_own_connection *connection)
{
	struct entry *entry = find(own, connection);

	if (entry) {
		entry->uses++;
		return;
	}
	forget(own, long_ago(wb_monotonic_ns()));
	if (own->count == MOST_CONNECTIONS) {
		if (!own->told_full)
			wb_log(WB_LOG_ERROR,
				"more than %d connections to buses: what wirebus sends over further ones is captured",
				MOST_CONNECTIONS);
		own->told_full = true;
		return;
	}
	own->entries[own->count++] = (struct entry){.connection = *connection, .uses = 1};
	apply(own);
}

/* Under the lock. It stays in the filters for now. */
static void closed(struct wb_own *own, const struct wb_own_connection *connection)
{
	struct entry *entry = find(own, connection);

	if (!entry || !entry->uses || --entry->uses)
		return;
	entry->closed_ns = wb_monotonic_ns();
}

void wb_own_report(void *context, bool open, const struct sockaddr *local, const struct sockaddr *remote)
{
	struct wb_own *own = context;
	struct wb_own_connection connection;

	if (!take(local, remote, &connection))
		return;
	pthread_mutex_lock(&own->lock);
	if (open)
		opened(own, &connection);
	else
		closed(own, &connection);
	pthread_mutex_unlock(&own->lock);
}

void wb_own_tick(struct wb_own *own, uint64_t now_ns)
{
	pthread_mutex_lock(&own->lock);
	if (forget(own, long_ago(now_ns)))
		apply(own);
	pthread_mutex_unlock(&own->lock);
}
