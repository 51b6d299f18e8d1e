/* SPDX-License-Identifier: Apache-2.0 */
/* What a test file includes before everything else. */
#ifndef WB_TESTING_H
#define WB_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#endif
