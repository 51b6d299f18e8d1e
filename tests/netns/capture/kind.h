/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two filters that share some of the frames: by its number each frame is of kind 0, of kind 1, of both or of neither.
 */
#ifndef TEST_KIND_H
#define TEST_KIND_H

#include "net.h"

#include <linux/filter.h>
#include <string.h>

#define KIND_INSTRUCTIONS 7
#define KIND_KEEP 256u

/* Of 8 numbers the last is of both kinds, the one before of neither. */
static inline bool is_of_both(uint32_t number)
{
	return number % 8 == 7;
}

static inline bool is_of_kind(uint32_t number, uint32_t kind)
{
	return is_of_both(number) || (number % 8 != 6 && number % 2 == kind);
}

static inline void kind_filter(struct sock_filter program[KIND_INSTRUCTIONS], uint32_t kind)
{
	const struct sock_filter code[KIND_INSTRUCTIONS] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NET_NUMBER_AT + 3), /* its last byte */
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 7),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 7, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 6, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, kind ? 0 : 1, kind ? 1 : 0),
		BPF_STMT(BPF_RET | BPF_K, KIND_KEEP),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};

	memcpy(program, code, sizeof(code));
}

#endif
