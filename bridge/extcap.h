/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `wirebus extcap`: topics and streams as capture interfaces of Wireshark and tshark. These run the program several
 * times: for the list of interfaces, for the options of each, and for each capture, whose packets go into a FIFO as
 * pcapng. Ref: extcap(4).
 */
#ifndef WB_EXTCAP_H
#define WB_EXTCAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "wirebus/option.h"

/* What an interface is, as a bit: options say with these whose they are. */
enum wb_extcap_kind {
	WB_EXTCAP_KAFKA = 1,  /* wirebus-kafka: a topic that the options name */
	WB_EXTCAP_ZMQ = 2,    /* wirebus-zmq: a stream that the options name */
	WB_EXTCAP_NAMED = 4,  /* from the file of interfaces: a URL */
	WB_EXTCAP_BROKEN = 8, /* stands for what is wrong with that file */
};

/* Strings are owned; NULL: not given. */
struct wb_extcap_interface {
	enum wb_extcap_kind kind;
	char *name;
	char *display;
	char *url;
	char *since;
	char *filter;
	bool takes_properties;
	struct wb_property *properties;
	size_t property_count;
};

struct wb_extcap_interfaces {
	struct wb_extcap_interface *list;
	size_t count;
};

/* Of one capture. Strings may be empty, which is not given: Wireshark's dialog has it so. */
struct wb_extcap_options {
	char *brokers;
	char *topic;
	char *endpoint;
	unsigned int mode; /* enum wb_extcap_mode */
	char *node;
	char *since;
	char *filter;
	uint64_t wait_ms;
	char *properties;
	char *curve_key;
	char *curve_server_key;
	char *curve_allow;
};

enum wb_extcap_mode { WB_EXTCAP_SUB, WB_EXTCAP_PULL }; /* as in the row's choices */

extern const struct wb_option_row wb_extcap_rows[];

/*
 * Where to begin: "now" and "beginning" are places of the source, ret_offset as wb_source_args has it, as the clocks of
 * those who capture may be others; anything else is a time, and ret_offset is NULL. Errors: -EINVAL with a message.
 */
int wb_extcap_since(const char *since, const char **ret_offset, uint64_t *ret_time_ns, struct wb_error *ret_error);

/* Where a capture begins unless something else is said. */
#define WB_EXTCAP_SINCE "now"

/* The interface that stands for a file of interfaces with errors. */
#define WB_EXTCAP_BROKEN_NAME "wirebus-extcap.yaml"

/* extcap_interfaces.c */

/*
 * The interfaces that are always there, and those of the user's file. What is wrong with the file is reported line by
 * line, and becomes an interface of its own; the good ones are there in any case.
 * Ownership: wb_extcap_interfaces_fini(). Errors: -ENOMEM.
 */
int wb_extcap_interfaces_load(struct wb_extcap_interfaces *ret_interfaces, FILE *reports);
void wb_extcap_interfaces_fini(struct wb_extcap_interfaces *interfaces);
/* NULL: there is none of that name; then ret_error names the nearest. */
const struct wb_extcap_interface *wb_extcap_interface_find(
	const struct wb_extcap_interfaces *interfaces, const char *name, struct wb_error *ret_error);
/* Append; the strings are taken over, also when it fails. Errors: -ENOMEM. */
int wb_extcap_interfaces_add(struct wb_extcap_interfaces *interfaces, struct wb_extcap_interface *interface);
void wb_extcap_interface_fini(struct wb_extcap_interface *interface);

/* extcap_file.c: append what a file has, see wb_extcap_interfaces_load(). A file that is not there has none. */
int wb_extcap_file_load(const char *path, struct wb_extcap_interfaces *interfaces, FILE *reports);

/* extcap_sentences.c: what Wireshark reads. */

void wb_extcap_print_interfaces(const struct wb_extcap_interfaces *interfaces, FILE *stream);
void wb_extcap_print_dlts(FILE *stream);
void wb_extcap_print_config(const struct wb_extcap_interface *interface, FILE *stream);
/* Whether the interface has the option of this key. */
bool wb_extcap_takes(const struct wb_extcap_interface *interface, const char *key);

/* extcap_url.c */

/* The URL to read from, percent-encoded. Ownership: free(3). Errors: -EINVAL, what is missing; -ENOMEM. */
int wb_extcap_url(const struct wb_extcap_interface *interface, const struct wb_extcap_options *options, char **ret_url,
	struct wb_error *ret_error);

/* extcap_capture.c */

struct wb_extcap_capture {
	const struct wb_extcap_interface *interface;
	const struct wb_extcap_options *options;
	const char *fifo;
	const char *filter; /* Wireshark's capture filter, besides the options' one; NULL: none */
};

/*
 * Write packets into the FIFO until SIGTERM, until its reader goes, or until something fails, which is told on standard
 * error: Wireshark shows that. Returns the exit code.
 */
int wb_extcap_capture(const struct wb_extcap_capture *capture);
/*
 * Nothing will be captured: open and close the FIFO. A reader that never finds a writer waits for ever, and Wireshark
 * with it.
 */
void wb_extcap_refuse(const char *fifo);

#endif
