/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles that come back together. When its interface is gone, each member takes leave of its socket and parks. After
 * the last one has, the fanout group does not exist any more, and whichever member's reader is there first when the
 * time for a try has come opens all of them; the others notice it, or learn why it did not work.
 *
 * The group's mutex is taken before a member's lock. Everything that one reader changes in another member is changed
 * under both, and only while that one is parked.
 */
#include "internal.h"
#include "barrier.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_TRY_NS (100 * NS_PER_MS)
#define MAX_TRY_NS (2 * NS_PER_S)
/* Not all have parked yet; they will tell, this is only in case. */
#define IDLE_STEP_NS (1 * NS_PER_S)

struct tpk_group {
	pthread_mutex_t mutex;
	unsigned int references; /* handles that were members, until they are freed */
	int placeholder;         /* a socket; there from the start, as later no descriptor may be free */
	struct tpacket *members;
	bool has_unique_id;
	bool is_trying; /* all have parked */
	int64_t next_try_ns;
	int64_t backoff_ns;
	int64_t back_ns;
	int error;            /* what prevented the last try; 0: only that there is no interface */
	uint32_t error_count; /* how often that changed */
};

int tpk_group_create(struct tpk_group **ret_group)
{
	struct tpk_group *group = calloc(1, sizeof(*group));

	if (!group)
		return -ENOMEM;
	group->placeholder = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (group->placeholder < 0) {
		int r = -errno;
		free(group);
		return r;
	}
	pthread_mutex_init(&group->mutex, NULL);
	*ret_group = group;
	return 0;
}

static bool all_are_parked(const struct tpk_group *group)
{
	for (const struct tpacket *member = group->members; member; member = member->park.next_member)
		if (!member->park.is_parked || member->park.is_back)
			return false;
	return true;
}

static void nudge_others(struct tpk_group *group, const struct tpacket *handle)
{
	for (struct tpacket *member = group->members; member; member = member->park.next_member)
		if (member != handle)
			tpk_wake_nudge(member);
}

/* Begin to try when nobody is missing any more. */
static void schedule(struct tpk_group *group, const struct tpacket *handle)
{
	if (group->is_trying || !all_are_parked(group))
		return;
	group->is_trying = true;
	group->error = 0;
	group->backoff_ns = FIRST_TRY_NS;
	group->next_try_ns = tpk_now_ns() + FIRST_TRY_NS;
	nudge_others(group, handle);
}

void tpk_group_join(struct tpk_group *group, struct tpacket *handle)
{
	pthread_mutex_lock(&group->mutex);
	if (!group->members)
		group->has_unique_id = handle->options.fanout != TPACKET_FANOUT_NONE &&
		                       (handle->options.fanout_flags & TPACKET_FANOUT_UNIQUE_ID);
	/* At the end: the first one stays the first. */
	struct tpacket **end = &group->members;
	while (*end)
		end = &(*end)->park.next_member;
	*end = handle;
	handle->park.next_member = NULL;
	handle->group = group;
	group->references++;
	pthread_mutex_unlock(&group->mutex);
}

static void take_out(struct tpk_group *group, struct tpacket *handle)
{
	for (struct tpacket **member = &group->members; *member; member = &(*member)->park.next_member) {
		if (*member == handle) {
			*member = handle->park.next_member;
			return;
		}
	}
}

/* The handle still refers to the group: its reader may be on the way to the mutex. */
void tpk_group_leave(struct tpacket *handle)
{
	struct tpk_group *group = handle->group;

	if (!group)
		return;
	pthread_mutex_lock(&group->mutex);
	take_out(group, handle);
	schedule(group, handle);
	pthread_mutex_unlock(&group->mutex);
}

void tpk_group_put(struct tpacket *handle)
{
	struct tpk_group *group = handle->group;

	if (!group)
		return;
	pthread_mutex_lock(&group->mutex);
	bool is_last = --group->references == 0;
	pthread_mutex_unlock(&group->mutex);
	handle->group = NULL;
	if (!is_last)
		return;
	close(group->placeholder);
	pthread_mutex_destroy(&group->mutex);
	free(group);
}

void tpk_group_lock(struct tpacket *handle)
{
	if (handle->group)
		pthread_mutex_lock(&handle->group->mutex);
}

void tpk_group_unlock(struct tpacket *handle)
{
	if (handle->group)
		pthread_mutex_unlock(&handle->group->mutex);
}

void tpk_group_adopt_program(struct tpacket *handle, struct tpk_program *program)
{
	struct tpacket *member = handle->group ? handle->group->members : NULL;

	for (; member; member = member->park.next_member) {
		if (member == handle)
			continue;
		pthread_mutex_lock(&member->lock);
		tpk_program_adopt(member, program);
		pthread_mutex_unlock(&member->lock);
	}
}

int tpk_group_placeholder(const struct tpacket *handle)
{
	return handle->group->placeholder;
}

bool tpk_reopen_is_due(const struct tpacket *handle)
{
	return handle->park.is_parked;
}

void tpk_reopen_park(struct tpacket *handle)
{
	struct tpk_group *group = handle->group;

	pthread_mutex_lock(&group->mutex);
	pthread_mutex_lock(&handle->lock);
	tpk_stats_keep(handle);
	tpk_socket_tear_down(handle);
	pthread_mutex_unlock(&handle->lock);
	handle->park.is_parked = true;
	handle->park.is_back = false;
	handle->park.gone_since_ns = handle->link.last_seen_ns;
	handle->park.errors_told = group->error_count;
	schedule(group, handle);
	pthread_mutex_unlock(&group->mutex);
}

static void note_error(struct tpk_group *group, int error)
{
	if (error == -ENODEV)
		error = 0;
	/* Without privileges or reserve it stays so, most likely: that is told after each try. */
	if (error && (error != group->error || error == -EPERM))
		group->error_count++;
	group->error = error;
}

static void try_now(struct tpk_group *group, const struct tpacket *handle)
{
	int r = tpk_reopen_all(group->members, group->has_unique_id);

	group->back_ns = tpk_now_ns();
	note_error(group, r);
	if (r < 0) {
		group->backoff_ns = group->backoff_ns < MAX_TRY_NS / 2 ? 2 * group->backoff_ns : MAX_TRY_NS;
		group->next_try_ns = group->back_ns + group->backoff_ns;
		/* Each member reports it. */
		if (r != -ENODEV)
			nudge_others(group, handle);
		return;
	}
	group->is_trying = false;
	for (struct tpacket *member = group->members; member; member = member->park.next_member)
		member->park.is_back = true;
	nudge_others(group, handle);
}

static int come_back(struct tpk_group *group, struct tpacket *handle)
{
	handle->park.is_parked = false;
	handle->park.is_back = false;
	/* Should it be gone already, that gap begins where this one ended. */
	handle->link.last_seen_ns = group->back_ns;
	tpk_count(&handle->counters.reopens, 1);
	tpk_count(&handle->counters.gap_ns, (uint64_t)(group->back_ns - handle->park.gone_since_ns));
	return -ENETRESET;
}

/* What there is to tell, or 0. Under the group's mutex. */
static int look(struct tpk_group *group, struct tpacket *handle, int64_t now_ns, bool is_time_up)
{
	if (tpk_is_closing(handle))
		return -ESHUTDOWN;
	if (group->is_trying && now_ns >= group->next_try_ns)
		try_now(group, handle);
	if (handle->park.is_back)
		return come_back(group, handle);
	if (handle->park.errors_told == group->error_count)
		return is_time_up && group->error == -EPERM ? -EPERM : 0;
	handle->park.errors_told = group->error_count;
	return group->error;
}

static int look_locked(struct tpacket *handle, int64_t now_ns, bool is_time_up, int64_t *ret_next_ns)
{
	struct tpk_group *group = handle->group;

	pthread_mutex_lock(&group->mutex);
	int r = look(group, handle, now_ns, is_time_up);
	*ret_next_ns = group->is_trying ? group->next_try_ns : now_ns + IDLE_STEP_NS;
	pthread_mutex_unlock(&group->mutex);
	return r;
}

int tpk_reopen_wait(struct tpacket *handle, int timeout_ms)
{
	int64_t now_ns = tpk_now_ns();
	int64_t deadline_ns = timeout_ms < 0 ? INT64_MAX : now_ns + timeout_ms * NS_PER_MS;
	int64_t next_ns;

	for (;;) {
		bool is_time_up = now_ns >= deadline_ns;
		int r = look_locked(handle, now_ns, is_time_up, &next_ns);
		if (r < 0 || is_time_up)
			return r;
		int64_t until_ns = next_ns < deadline_ns ? next_ns : deadline_ns;
		r = tpk_wait_poll(handle, until_ns > now_ns ? until_ns - now_ns : 0, true);
		if (r < 0)
			return r;
		if (tpk_is_closing(handle))
			return -ESHUTDOWN;
		if (tpk_flag_take(&handle->woken)) {
			tpk_wake_drain(handle);
			return 0;
		}
		now_ns = tpk_now_ns();
	}
}
