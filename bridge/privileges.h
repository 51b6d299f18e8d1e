/* SPDX-License-Identifier: Apache-2.0 */
/* Least privilege: once the rings are open, nothing that follows needs a capability. */
#ifndef WB_PRIVILEGES_H
#define WB_PRIVILEGES_H

#include <stddef.h>

#include "wirebus/option.h"

/* What to tell who may not capture. */
#define WB_NEEDS_CAP_NET_RAW "capturing needs CAP_NET_RAW; run as root, or 'setcap cap_net_raw+ep' the program"

/*
 * Give up all capabilities (capabilities(7)) of this thread and of those it will create, for good: not even a
 * set-user-ID program brings them back (PR_SET_NO_NEW_PRIVS). Call before other threads exist. Errors: -EPERM with a
 * message.
 */
int wb_privileges_drop(struct wb_error *ret_error);
/* The same, but keep those of the given ones that there are. kept: CAP_NET_RAW and the like. */
int wb_privileges_drop_but(const unsigned int *kept, size_t count, struct wb_error *ret_error);

#endif
