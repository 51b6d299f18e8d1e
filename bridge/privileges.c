/* SPDX-License-Identifier: Apache-2.0 */
#include "privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "log.h"

int wb_privileges_drop(struct wb_error *ret_error)
{
	return wb_privileges_drop_but(NULL, 0, ret_error);
}

int wb_privileges_drop_but(const unsigned int *kept, size_t count, struct wb_error *ret_error)
{
	unsigned int there[CAP_LAST_CAP + 1], used = 0;

	capng_get_caps_process();
	for (size_t i = 0; i < count; i++)
		if (used <= CAP_LAST_CAP && capng_have_capability(CAPNG_PERMITTED, kept[i]))
			there[used++] = kept[i];
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return wb_fail(ret_error, -errno, "cannot give up privileges: prctl(PR_SET_NO_NEW_PRIVS): %s",
			strerror(errno));
	capng_clear(CAPNG_SELECT_CAPS);
	for (unsigned int i = 0; i < used; i++)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, there[i]);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return wb_fail(ret_error, -EPERM, "cannot give up privileges: the kernel kept the capabilities");
	return 0;
}
