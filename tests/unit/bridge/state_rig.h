/* SPDX-License-Identifier: Apache-2.0 */
/* State files in a folder of the test's own, written by workers that store their number n, and what is found of them.
 */
#ifndef TEST_STATE_RIG_H
#define TEST_STATE_RIG_H

#include "testing.h"

#include "state.h"

#define MAX_LEFT 16

struct found {
	struct wb_state_left left[MAX_LEFT];
	size_t count;
};

extern char state_rig_directory[64];
extern const char *state_rig_bus; /* that is written, and looked for */
extern const uint8_t state_rig_session[16];

int state_rig_setup(void **state);
unsigned int state_rig_files(const char *suffix, char *ret_path);
int state_rig_teardown(void **state);
struct wb_state *state_rig_create(unsigned int workers, unsigned int streams);
void state_rig_commit(struct wb_state *made, unsigned int worker, unsigned int streams, uint64_t n);
int state_rig_collect(void *context, const struct wb_state_left *left);
int state_rig_find(struct found *found, const char *capture);
void state_rig_done(struct found *found);
void state_rig_expect(const struct wb_state_left *left, unsigned int w, unsigned int s, uint64_t n);

#endif
