/* SPDX-License-Identifier: Apache-2.0 */
#include "privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "log.h"

int wb_privileges_drop(struct wb_error *ret_error)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return wb_fail(ret_error, -errno, "cannot give up privileges: prctl(PR_SET_NO_NEW_PRIVS): %s",
			strerror(errno));
	capng_clear(CAPNG_SELECT_CAPS);
	if (capng_apply(CAPNG_SELECT_CAPS) < 0)
		return wb_fail(ret_error, -EPERM, "cannot give up privileges: the kernel kept the capabilities");
	return 0;
}
