/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transports from outside: shared objects that export a struct wb_transport_ops (wirebus/transport.h). They are loaded
 * while the configuration is read, before privileges are given up, and stay loaded: threads of the libraries that they
 * use may outlive every transport.
 *
 *	if (wb_plugins_load("./libwirebus_nats.so", NULL, &error) < 0)
 *		// the message names the file and the reason
 *	// now a URL can begin with nats://
 */
#ifndef WB_PLUGIN_H
#define WB_PLUGIN_H

#include "wirebus/transport.h"

/*
 * Load every file of a list, separated by ','. folder: where relative paths begin; NULL: the current directory. No path
 * is looked for anywhere else. A file that was loaded before is left as it is.
 *
 * A plugin runs with the rights of the process, so a file is refused that others could have written: one that belongs
 * to neither root nor the effective user, that group or others may write, or whose folder anybody may rename files in.
 *
 * Threads: the main one, before others are started. Errors: -EINVAL (the list, or a file that is no plugin), -EACCES (a
 * file that is refused), -errno of a file that cannot be read, -ENOSPC, -ENOMEM; with a message that names the file.
 * What was loaded before the error stays loaded.
 */
int wb_plugins_load(const char *list, const char *folder, struct wb_error *ret_error);

/*
 * Whether a descriptor keeps the rules: its ABI number, name, schemes that are nobody's, operations, option rows that
 * lie within options_size and have valid defaults. Errors: -EINVAL with a message; -ENOMEM.
 */
int wb_plugin_check(const struct wb_transport_ops *ops, struct wb_error *ret_error);

#endif
