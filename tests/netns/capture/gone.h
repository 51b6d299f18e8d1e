/* SPDX-License-Identifier: Apache-2.0 */
/* For tests in which the interface goes away and comes back. */
#ifndef TEST_GONE_H
#define TEST_GONE_H

#include "net.h"

#include <sys/types.h>

/* net_options() with reopen. */
void gone_options(struct tpacket_options *options);
void gone_delete(void);
void gone_recreate(void);
/* Read until the interface is reported gone, and until it is back; each must come within some seconds. Returns the
 * packets that came before. */
uint32_t gone_wait_gone(struct tpacket *handle);
void gone_wait_back(struct tpacket *handle);
void gone_counters(struct tpacket *handle, struct tpacket_counters *ret_counters);
/* Send so many numbered frames, which must be what is received. */
void gone_pass(struct tpacket *handle, uint32_t first, uint32_t count);

/* Use up every descriptor that this process may still have, and give all of those back. Returns how many that are. */
unsigned int gone_take_descriptors(void);
void gone_give_descriptors(void);

/* A process in a network namespace of its own. */
pid_t gone_other_namespace(void);
void gone_end_process(pid_t process);

#endif
