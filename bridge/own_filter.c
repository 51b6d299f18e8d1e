/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program begins with the header's place: X is the offset of the IP header, M[0] both ports. Then come, for each
 * family, the ends that are left out as a whole, by address, and the connections, as a tree over their ports: a packet
 * of somebody else costs a few comparisons, however many connections there are. What is not ours goes on to the user's
 * program behind it.
 *
 * X is loaded with constants and with IPv4's header length only: so it is known that the program looks at the first 100
 * bytes at most (tpacket_set_filter() wants those of packets that it judges anew).
 */
#include "own_filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LONGEST_IPV4_HEADER 60u
#define LAST_ADDRESS_WORD 36u /* of IPv6, from its header */
#define WHOLE_FRAME 65535u
#define PORTS_PER_JUMP 200 /* conditional jumps reach 255 instructions */
#define LINEAR 4           /* so few connections are compared one after the other */

/* Where `ja` leads to; replaced by distances at the end. */
enum label {
	TO_USER = 0x7f000000,
	TO_IPV4_AT,
	TO_IPV6_AT = TO_IPV4_AT + 64,
	TO_IPV4 = TO_IPV6_AT + 64,
	TO_IPV6,
	LABELS_END
};
#define LABEL_COUNT (LABELS_END - TO_USER)

/* One end that is left out whoever is at the other. */
struct side {
	int family;
	bool any;
	uint16_t port;
	uint8_t address[16];
};

/* A connection in one direction. */
struct key {
	uint32_t ports; /* source, destination */
	bool outgoing;
	const struct wb_own_connection *connection;
};

struct program {
	struct sock_filter code[BPF_MAXINSNS];
	uint32_t length; /* beyond BPF_MAXINSNS: too long */
	uint32_t labels[LABEL_COUNT];
	struct side *sides;
	size_t side_count;
	struct key *keys;
	size_t key_count;
};

static uint32_t emit(struct program *program, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	if (program->length < BPF_MAXINSNS)
		program->code[program->length] = (struct sock_filter){.code = code, .jt = jt, .jf = jf, .k = k};
	return program->length++;
}

static void emit_load(struct program *program, uint16_t code, uint32_t k)
{
	emit(program, code, 0, 0, k);
}

/* Go on when the condition holds, else to the user's program. */
static void emit_need(struct program *program, uint16_t condition, uint32_t k)
{
	emit(program, BPF_JMP | condition | BPF_K, 1, 0, k);
	emit(program, BPF_JMP | BPF_JA, 0, 0, TO_USER);
}

static void emit_length_need(struct program *program, uint32_t bytes)
{
	emit_load(program, BPF_LD | BPF_LEN, 0);
	emit_need(program, BPF_JGE, bytes);
}

/* When the accumulator is the value, to the label. */
static void emit_branch(struct program *program, uint32_t value, uint32_t label)
{
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
	emit(program, BPF_JMP | BPF_JA, 0, 0, label);
}

static void place(struct program *program, uint32_t label)
{
	program->labels[label - TO_USER] = program->length;
}

/* The IP header of an Ethernet frame, behind no, one and two tags. */
static void emit_ethernet(struct program *program)
{
	for (uint32_t at = 14; at <= 22; at += 4) {
		emit_length_need(program, at);
		emit_load(program, BPF_LD | BPF_H | BPF_ABS, at - 2);
		emit_branch(program, 0x0800, TO_IPV4_AT + at);
		emit_branch(program, 0x86dd, TO_IPV6_AT + at);
		if (at < 22) {
			emit(program, BPF_JMP | BPF_JEQ | BPF_K, 3, 0, 0x8100);
			emit(program, BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 0x88a8);
			emit(program, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0x9100);
		}
		emit(program, BPF_JMP | BPF_JA, 0, 0, TO_USER);
	}
}

static void emit_bare_ip(struct program *program)
{
	emit_length_need(program, 1);
	emit_load(program, BPF_LD | BPF_B | BPF_ABS, 0);
	emit_load(program, BPF_ALU | BPF_AND | BPF_K, 0xf0);
	emit_branch(program, 0x40, TO_IPV4_AT);
	emit_branch(program, 0x60, TO_IPV6_AT);
	emit(program, BPF_JMP | BPF_JA, 0, 0, TO_USER);
}

/* A load beyond the end would reject the packet, so lengths are looked at first; also that of the header. */
static void emit_ipv4_at(struct program *program, uint32_t at)
{
	place(program, TO_IPV4_AT + at);
	emit_length_need(program, at + 20);
	emit_load(program, BPF_LD | BPF_B | BPF_ABS, at + 9);
	emit_need(program, BPF_JEQ, IPPROTO_TCP);
	emit_load(program, BPF_LD | BPF_H | BPF_ABS, at + 6);
	emit(program, BPF_JMP | BPF_JSET | BPF_K, 0, 1, 0x1fff);
	emit(program, BPF_JMP | BPF_JA, 0, 0, TO_USER);
	emit_load(program, BPF_LDX | BPF_B | BPF_MSH, at);
	emit_load(program, BPF_LD | BPF_LEN, 0);
	emit(program, BPF_ALU | BPF_SUB | BPF_X, 0, 0, 0);
	emit(program, BPF_JMP | BPF_JSET | BPF_K, 1, 0, 0x80000000); /* less than nothing: to the next but one */
	emit_need(program, BPF_JGE, at + 4);
	emit_load(program, BPF_LD | BPF_W | BPF_IND, at);
	emit_load(program, BPF_ST, 0);
	emit_load(program, BPF_LDX | BPF_IMM, at);
	emit(program, BPF_JMP | BPF_JA, 0, 0, TO_IPV4);
}

static void emit_ipv6_at(struct program *program, uint32_t at)
{
	place(program, TO_IPV6_AT + at);
	emit_length_need(program, at + 44);
	emit_load(program, BPF_LD | BPF_B | BPF_ABS, at + 6);
	emit_need(program, BPF_JEQ, IPPROTO_TCP);
	emit_load(program, BPF_LD | BPF_W | BPF_ABS, at + 40);
	emit_load(program, BPF_ST, 0);
	emit_load(program, BPF_LDX | BPF_IMM, at);
	emit(program, BPF_JMP | BPF_JA, 0, 0, TO_IPV6);
}

static uint32_t word(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint32_t address_words(int family)
{
	return family == AF_INET ? 1 : 4;
}

/* Offset of the source or destination address from the IP header. */
static uint32_t address_offset(int family, bool source)
{
	if (family == AF_INET)
		return source ? 12 : 16;
	return source ? 8 : 24;
}

/* Unless the address is this one, jump over the rest, of which there are so many instructions, 240 at most. */
static void emit_address(struct program *program, int family, bool source, const uint8_t *address, uint32_t rest)
{
	uint32_t words = address_words(family);
	uint32_t offset = address_offset(family, source);

	for (uint32_t i = 0; i < words; i++) {
		emit_load(program, BPF_LD | BPF_W | BPF_IND, offset + 4 * i);
		emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)(rest + 2 * (words - 1 - i)),
			word(address + 4 * i));
	}
}

static int compare_sides(const void *a, const void *b)
{
	const struct side *left = a;
	const struct side *right = b;
	int r = left->family - right->family;

	if (r == 0)
		r = (int)left->any - (int)right->any;
	if (r == 0)
		r = memcmp(left->address, right->address, sizeof left->address);
	return r ? r : (int)left->port - (int)right->port;
}

static bool same_end(const struct side *a, const struct side *b)
{
	return a->family == b->family && a->any == b->any && memcmp(a->address, b->address, sizeof a->address) == 0;
}

/* Ends of one address in one direction, in portions that jumps can leap over. */
static void emit_ports(struct program *program, const struct side *sides, uint32_t count, bool source)
{
	const struct side *end = sides;
	/* load, halve, compare each, jump, return */
	uint32_t rest = count + 4;

	if (!end->any)
		emit_address(program, end->family, source, end->address, rest);
	emit_load(program, BPF_LD | BPF_W | BPF_MEM, 0);
	if (source)
		emit_load(program, BPF_ALU | BPF_RSH | BPF_K, 16);
	else
		emit_load(program, BPF_ALU | BPF_AND | BPF_K, 0xffff);
	for (uint32_t i = 0; i < count; i++)
		emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint8_t)(count - i), 0, sides[i].port);
	emit(program, BPF_JMP | BPF_JA, 0, 0, 1);
	emit_load(program, BPF_RET | BPF_K, 0);
}

static void emit_sides(struct program *program, int family)
{
	for (size_t i = 0; i < program->side_count;) {
		const struct side *first = &program->sides[i];
		uint32_t count = 1;

		while (i + count < program->side_count && count < PORTS_PER_JUMP && same_end(first, first + count))
			count++;
		i += count;
		if (first->family != family)
			continue;
		emit_ports(program, first, count, true);
		emit_ports(program, first, count, false);
	}
}

/* Reject the packet if it is of this connection. */
static void emit_connection(struct program *program, const struct key *key)
{
	const struct wb_own_connection *connection = key->connection;
	uint32_t each = 2 * address_words(connection->family);
	uint32_t local = connection->any_local ? 0 : each;
	uint32_t remote = connection->any_remote ? 0 : each;

	emit_load(program, BPF_LD | BPF_W | BPF_MEM, 0);
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, 0, (uint8_t)(local + remote + 1), key->ports);
	if (local)
		emit_address(program, connection->family, key->outgoing, connection->local, remote + 1);
	if (remote)
		emit_address(program, connection->family, !key->outgoing, connection->remote, 1);
	emit_load(program, BPF_RET | BPF_K, 0);
}

static int compare_keys(const void *a, const void *b)
{
	const struct key *left = a;
	const struct key *right = b;

	if (left->connection->family != right->connection->family)
		return left->connection->family < right->connection->family ? -1 : 1;
	return left->ports < right->ports ? -1 : left->ports > right->ports;
}

/* Where to cut a run of keys: near the middle, not between equal ones. 0: nowhere. */
static size_t find_cut(const struct key *keys, size_t count)
{
	for (size_t i = 0; i < count / 2; i++) {
		size_t above = count / 2 + i;
		size_t below = count / 2 - i;

		if (above < count && keys[above].ports != keys[above - 1].ports)
			return above;
		if (below > 0 && keys[below].ports != keys[below - 1].ports)
			return below;
	}
	return 0;
}

/* A search tree over the ports. Ends with the user's program. */
static void emit_tree(struct program *program, const struct key *keys, size_t count)
{
	size_t cut = count > LINEAR ? find_cut(keys, count) : 0;
	uint32_t jump;

	if (!cut) {
		for (size_t i = 0; i < count; i++)
			emit_connection(program, &keys[i]);
		emit(program, BPF_JMP | BPF_JA, 0, 0, TO_USER);
		return;
	}
	emit_load(program, BPF_LD | BPF_W | BPF_MEM, 0);
	emit(program, BPF_JMP | BPF_JGE | BPF_K, 1, 0, keys[cut].ports);
	jump = emit(program, BPF_JMP | BPF_JA, 0, 0, 0);
	emit_tree(program, keys + cut, count - cut);
	if (jump < BPF_MAXINSNS)
		program->code[jump].k = program->length - jump - 1;
	emit_tree(program, keys, cut);
}

static void emit_family(struct program *program, int family, uint32_t label)
{
	size_t begin = 0;
	size_t end;

	while (begin < program->key_count && program->keys[begin].connection->family != family)
		begin++;
	for (end = begin; end < program->key_count && program->keys[end].connection->family == family;)
		end++;
	place(program, label);
	emit_sides(program, family);
	emit_tree(program, program->keys + begin, end - begin);
}

static void add_side(struct program *program, int family, bool any, const uint8_t *address, uint16_t port)
{
	struct side *side = &program->sides[program->side_count++];

	*side = (struct side){.family = family, .any = any, .port = port};
	if (!any)
		memcpy(side->address, address, sizeof side->address);
}

static void add(struct program *program, const struct wb_own_connection *connection, enum wb_own_form form)
{
	uint32_t local = connection->local_port;
	uint32_t remote = connection->remote_port;

	if (form == WB_OWN_ENDPOINTS && remote) {
		add_side(program, connection->family, connection->any_remote, connection->remote, (uint16_t)remote);
	} else if (form == WB_OWN_ENDPOINTS) {
		/* Other nodes listen at the same port. */
		add_side(program, AF_INET, true, NULL, (uint16_t)local);
		add_side(program, AF_INET6, true, NULL, (uint16_t)local);
	} else if (form == WB_OWN_LOCAL || !remote) {
		add_side(program, connection->family, connection->any_local, connection->local, (uint16_t)local);
	} else {
		program->keys[program->key_count++] = (struct key){local << 16 | remote, true, connection};
		program->keys[program->key_count++] = (struct key){remote << 16 | local, false, connection};
	}
}

static void sort(struct program *program)
{
	size_t kept = 0;

	qsort(program->keys, program->key_count, sizeof *program->keys, compare_keys);
	qsort(program->sides, program->side_count, sizeof *program->sides, compare_sides);
	for (size_t i = 0; i < program->side_count; i++)
		if (kept == 0 || compare_sides(&program->sides[kept - 1], &program->sides[i]) != 0)
			program->sides[kept++] = program->sides[i];
	program->side_count = kept;
}

/* Make distances of labels. */
static void resolve(struct program *program)
{
	for (uint32_t i = 0; i < program->length && i < BPF_MAXINSNS; i++) {
		struct sock_filter *at = &program->code[i];

		if (at->code == (BPF_JMP | BPF_JA) && at->k >= TO_USER && at->k < LABELS_END)
			at->k = program->labels[at->k - TO_USER] - i - 1;
	}
}

static void emit_own(struct program *program, enum wb_own_link link)
{
	if (link == WB_OWN_LINK_ETHERNET)
		emit_ethernet(program);
	else
		emit_bare_ip(program);
	for (uint32_t at = link == WB_OWN_LINK_ETHERNET ? 14 : 0; at <= (link == WB_OWN_LINK_ETHERNET ? 22 : 0);
		at += 4) {
		emit_ipv4_at(program, at);
		emit_ipv6_at(program, at);
	}
	emit_family(program, AF_INET, TO_IPV4);
	emit_family(program, AF_INET6, TO_IPV6);
	place(program, TO_USER);
	resolve(program);
	/* As the kernel would begin. */
	emit_load(program, BPF_LD | BPF_IMM, 0);
	emit_load(program, BPF_LDX | BPF_IMM, 0);
}

static void emit_user(struct program *program, const struct wb_filter *user, uint32_t keep_bytes)
{
	if (!user || !user->length) {
		emit_load(program, BPF_RET | BPF_K, keep_bytes);
		return;
	}
	for (uint16_t i = 0; i < user->length; i++) {
		const struct sock_filter *at = &user->code[i];
		bool keeps = BPF_CLASS(at->code) == BPF_RET && BPF_RVAL(at->code) == BPF_K && at->k;

		emit(program, at->code, at->jt, at->jf, keeps && at->k < keep_bytes ? keep_bytes : at->k);
	}
}

static int copy_out(const struct program *program, struct wb_filter *ret_filter)
{
	if (program->length > BPF_MAXINSNS)
		return -E2BIG;
	ret_filter->code = malloc(program->length * sizeof *ret_filter->code);
	if (!ret_filter->code)
		return -ENOMEM;
	memcpy(ret_filter->code, program->code, program->length * sizeof *ret_filter->code);
	ret_filter->length = (uint16_t)program->length;
	return 0;
}

int wb_own_compose(const struct wb_own_connection *connections, size_t count, enum wb_own_form form,
	enum wb_own_link link, const struct wb_filter *user, uint32_t keep_bytes, struct wb_filter *ret_filter)
{
	struct program *program = calloc(1, sizeof *program);
	int r = -ENOMEM;

	if (!program)
		return -ENOMEM;
	program->sides = calloc(2 * count + 1, sizeof *program->sides);
	program->keys = calloc(2 * count + 1, sizeof *program->keys);
	if (program->sides && program->keys) {
		for (size_t i = 0; i < count; i++)
			add(program, &connections[i], form);
		sort(program);
		if (count && link != WB_OWN_LINK_NONE)
			emit_own(program, link);
		emit_user(program, user, keep_bytes);
		r = copy_out(program, ret_filter);
	}
	free(program->keys);
	free(program->sides);
	free(program);
	return r;
}

/* The largest offset that X can be: IPv4's header length, or what the user's program loads. */
static uint32_t largest_x(const struct wb_filter *user)
{
	uint32_t largest = LONGEST_IPV4_HEADER;

	for (uint16_t i = 0; user && i < user->length; i++) {
		const struct sock_filter *at = &user->code[i];
		bool loads = BPF_CLASS(at->code) == BPF_LDX && BPF_MODE(at->code) != BPF_MSH;

		if (loads && BPF_MODE(at->code) == BPF_IMM && at->k < WHOLE_FRAME)
			largest = at->k > largest ? at->k : largest;
		else if (loads || (BPF_CLASS(at->code) == BPF_MISC && BPF_MISCOP(at->code) == BPF_TAX))
			return WHOLE_FRAME;
	}
	return largest;
}

/* How far one instruction looks. Offsets beyond INT32_MAX are negative: facts about the packet, or nothing. */
static uint32_t reach_of(const struct sock_filter *at, uint32_t x)
{
	uint16_t mode = BPF_MODE(at->code);
	uint32_t offset = at->k;

	if (BPF_CLASS(at->code) == BPF_LDX)
		return mode == BPF_MSH && offset < WHOLE_FRAME ? offset + 1 : 0;
	if (BPF_CLASS(at->code) != BPF_LD || (mode != BPF_ABS && mode != BPF_IND))
		return 0;
	if (mode == BPF_IND)
		offset = offset > INT32_MAX ? x : offset + x;
	else if (offset > INT32_MAX)
		return 0;
	return offset < WHOLE_FRAME ? offset + 4 : WHOLE_FRAME;
}

uint32_t wb_own_reach(const struct wb_filter *user)
{
	uint32_t x = largest_x(user);
	uint32_t reach = LAST_ADDRESS_WORD + x + 4;

	for (uint16_t i = 0; user && i < user->length; i++) {
		uint32_t more = reach_of(&user->code[i], x);

		if (more > reach)
			reach = more;
	}
	return reach < WHOLE_FRAME ? reach : WHOLE_FRAME;
}
