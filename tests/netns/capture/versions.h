/* SPDX-License-Identifier: Apache-2.0 */
/* A test that runs once for each ring version; its state is the version. */
#ifndef TEST_VERSIONS_H
#define TEST_VERSIONS_H

#include "net.h"

/* cmocka hands the set-up's state to the test: nothing of it is changed. */
static inline int versions_set_up(void **state)
{
	return net_set_up(state);
}

static enum tpacket_version test_versions[] = {0, TPACKET_VERSION_1, TPACKET_VERSION_2, TPACKET_VERSION_3};

static inline enum tpacket_version version_of(void **state)
{
	return *(const enum tpacket_version *)*state;
}

#define ON_VERSION(f, version)                                                                                         \
	{                                                                                                              \
#f " V" #version, f, versions_set_up, net_tear_down, &test_versions[version]                           \
	}
#define ON_SLOTS(f) ON_VERSION(f, 1), ON_VERSION(f, 2)
#define ON_EACH(f) ON_SLOTS(f), ON_VERSION(f, 3)

#endif
