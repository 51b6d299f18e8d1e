/* SPDX-License-Identifier: Apache-2.0 */
/* A process in a network namespace of its own that has NET_SEND, 10.9.0.2; NET_LISTEN stays here with 10.9.0.1. */
#ifndef TEST_FAR_H
#define TEST_FAR_H

#include "net.h"

struct far {
	int pid;
	int fd; /* requests and answers */
};

void far_begin(struct far *far);
/* The index of NET_SEND there. */
unsigned int far_index(struct far *far);
/* Have it send a frame from NET_SEND. */
void far_send(struct far *far, const void *frame, uint32_t bytes);
/* Have it send so many bytes over TCP to a socket here, which reads them all; and which bytes these are. */
uint8_t far_tcp_byte(uint32_t at);
void far_tcp(struct far *far, uint32_t bytes);
/* Have it run a command. */
void far_run(struct far *far, const char *command);
void far_end(struct far *far);

#endif
