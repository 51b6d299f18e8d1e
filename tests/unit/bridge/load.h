/* SPDX-License-Identifier: Apache-2.0 */
/* Loads configurations from text, and collects what is reported. */
#ifndef WB_TESTING_LOAD_H
#define WB_TESTING_LOAD_H

#include "config.h"

/* Lines "LINE:COLUMN: message\n" of what was reported last; "message\n" without a place. */
extern char reports[16384];

/* Load length bytes as a file in the folder of the test, which load_setup() makes and load_teardown() removes. */
int load_bytes(const char *text, size_t length, struct wb_config *ret_config);
int load_text(const char *text, struct wb_config *ret_config);
/* Load a text that must be refused with exactly these reports. */
void refuse_text(const char *text, const char *expected);
/* Load a text that must be accepted. */
void accept_text(const char *text, struct wb_config *ret_config);

/* Write a file beside the configuration. */
void write_beside(const char *name, const void *data, size_t length);
extern char load_folder[64];
int load_setup(void **state);
int load_teardown(void **state);
void collect_report(void *context, const char *file, size_t line, size_t column, const char *message);

#endif
