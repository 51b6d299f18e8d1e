/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classic BPF in user space: what each instruction does, that no program reads outside the packet, and which programs
 * are refused because the ring does not tell what they ask for. That the results are the kernel's is shown by
 * tests/netns/capture/test_filter.c.
 */
#include "cmocka_all.h"
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LD_FACT(fact) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + (fact)))
#define RET_A BPF_STMT(BPF_RET | BPF_A, 0)
#define RET(k) BPF_STMT(BPF_RET | BPF_K, k)
#define LD(k) BPF_STMT(BPF_LD | BPF_IMM, k)
#define LDX(k) BPF_STMT(BPF_LDX | BPF_IMM, k)
#define ALU_K(op, k) BPF_STMT(BPF_ALU | (op) | BPF_K, k)
#define ALU_X(op) BPF_STMT(BPF_ALU | (op) | BPF_X, 0)
#define TAX BPF_STMT(BPF_MISC | BPF_TAX, 0)
#define TXA BPF_STMT(BPF_MISC | BPF_TXA, 0)

static const uint8_t bytes[] = {0x11, 0x22, 0x33, 0x44, 0x85, 0x66, 0x77, 0x88};

static struct tpacket_packet packet_of(const uint8_t *data, uint32_t captured)
{
	return (struct tpacket_packet){
		.data = data,
		.captured_length = captured,
		.original_length = 1234,
		.interface_index = 77,
		.status = TPACKET_STATUS_VLAN,
		.vlan_tci = 0x6064,
		.vlan_tpid = 0x88a8,
		.protocol = 0x86dd,
		.hardware_type = 772,
		.packet_type = TPACKET_TYPE_OUTGOING,
	};
}

static void test_instructions(void **state)
{
	const struct {
		struct sock_filter program[6];
		uint32_t want;
	} cases[] = {
		{{RET(5)}, 5},
		{{RET_A}, 0},
		{{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), RET_A}, 0x11223344},
		{{BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 1), RET_A}, 0x2233},
		{{BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 7), RET_A}, 0x88},
		{{LDX(3), BPF_STMT(BPF_LD | BPF_W | BPF_IND, 1), RET_A}, 0x85667788},
		{{LDX(5), BPF_STMT(BPF_LD | BPF_H | BPF_IND, (uint32_t)-3), RET_A}, 0x3344}, /* below X */
		{{BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), RET_A}, 1234},
		{{BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0), TXA, RET_A}, 1234},
		{{BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 4), TXA, RET_A}, 20},
		{{LD(9), BPF_STMT(BPF_ST, 15), LD(1), BPF_STMT(BPF_LDX | BPF_MEM, 15), TXA, RET_A}, 9},
		{{LDX(8), BPF_STMT(BPF_STX, 2), BPF_STMT(BPF_LD | BPF_MEM, 2), RET_A}, 8},
		{{LD(7), TAX, LD(1), TXA, RET_A}, 7},
		{{LD(0xffffffff), ALU_K(BPF_ADD, 2), RET_A}, 1},
		{{LD(1), ALU_K(BPF_SUB, 2), RET_A}, 0xffffffff},
		{{LD(0x10001), ALU_K(BPF_MUL, 0x10001), RET_A}, 0x20001},
		{{LD(0xffffffff), ALU_K(BPF_DIV, 2), RET_A}, 0x7fffffff},
		{{LD(0xffffffff), ALU_K(BPF_MOD, 16), RET_A}, 15},
		{{LD(0xf0), ALU_K(BPF_OR, 0x0f), RET_A}, 0xff},
		{{LD(0xf3), ALU_K(BPF_AND, 0x3f), RET_A}, 0x33},
		{{LD(0xff), ALU_K(BPF_XOR, 0x0f), RET_A}, 0xf0},
		{{LD(3), ALU_K(BPF_LSH, 31), RET_A}, 0x80000000},
		{{LD(0x80000000), ALU_K(BPF_RSH, 31), RET_A}, 1},
		{{LD(5), ALU_K(BPF_NEG, 0), RET_A}, 0xfffffffb},
		{{LDX(33), LD(1), ALU_X(BPF_LSH), RET_A}, 2}, /* the low 5 bits count */
		{{LDX(3), LD(10), ALU_X(BPF_DIV), RET_A}, 3},
		{{LDX(0), LD(10), ALU_X(BPF_DIV), RET(1)}, 0},
		{{LDX(0), LD(10), ALU_X(BPF_MOD), RET(1)}, 0},
		{{BPF_STMT(BPF_JMP | BPF_JA, 1), RET(1), RET(2)}, 2},
		{{LD(5), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 5, 1, 0), RET(1), RET(2)}, 2},
		{{LD(5), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 6, 1, 0), RET(1), RET(2)}, 1},
		{{LD(0x80000000), BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 1, 1, 0), RET(1), RET(2)}, 2}, /* unsigned */
		{{LD(5), BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 5, 1, 0), RET(1), RET(2)}, 1},
		{{LD(5), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 5, 1, 0), RET(1), RET(2)}, 2},
		{{LD(5), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 2, 1, 0), RET(1), RET(2)}, 1},
		{{LDX(4), LD(5), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_X, 0, 1, 0), RET(1), RET(2)}, 2},
		{{LD_FACT(SKF_AD_PROTOCOL), RET_A}, 0x86dd},
		{{LD_FACT(SKF_AD_PKTTYPE), RET_A}, TPACKET_TYPE_OUTGOING},
		{{LD_FACT(SKF_AD_IFINDEX), RET_A}, 77},
		{{LD_FACT(SKF_AD_HATYPE), RET_A}, 772},
		{{LD_FACT(SKF_AD_VLAN_TAG), RET_A}, 0x6064},
		{{LD_FACT(SKF_AD_VLAN_TAG_PRESENT), RET_A}, 1},
		{{LD_FACT(SKF_AD_VLAN_TPID), RET_A}, 0x88a8},
		{{LDX(3), LD(5), LD_FACT(SKF_AD_ALU_XOR_X), RET_A}, 6},
		/* Beyond the captured bytes: rejected. */
		{{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 5), RET(1)}, 0},
		{{BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8), RET(1)}, 0},
		{{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0x7ffffffe), RET(1)}, 0},
		{{LDX(0xffffffff), BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RET(1)}, 0},
		{{BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 8), RET(1)}, 0},
	};
	const struct tpacket_packet packet = packet_of(bytes, sizeof(bytes));

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint32_t got = tpk_filter_run(cases[i].program, COUNT(cases[i].program), &packet);
		if (got != cases[i].want)
			print_error("case %zu\n", i);
		assert_int_equal(got, cases[i].want);
	}
}

static void test_no_tag(void **state)
{
	const struct sock_filter program[] = {LD_FACT(SKF_AD_VLAN_TAG), TAX, LD_FACT(SKF_AD_VLAN_TPID), ALU_X(BPF_ADD),
		TAX, LD_FACT(SKF_AD_VLAN_TAG_PRESENT), ALU_X(BPF_ADD), RET_A};
	struct tpacket_packet packet = packet_of(bytes, sizeof(bytes));

	assert_int_equal(tpk_filter_run(program, COUNT(program), &packet), 0x6064 + 0x88a8 + 1);
	packet.status = 0; /* what is left in the members does not matter then */
	assert_int_equal(tpk_filter_run(program, COUNT(program), &packet), 0);
}

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 32);
}

/* Not even the kernel's checks: any code, any operand. The packet ends where the allocation ends. */
static void test_any_program_ends_inside_the_packet(void **state)
{
	uint64_t seed = 1;
	uint32_t kept = 0;

	for (int round = 0; round < 20000; round++) {
		struct sock_filter program[64];
		uint16_t length = (uint16_t)(1 + next_random(&seed) % COUNT(program));
		uint32_t captured = next_random(&seed) % 40;
		uint8_t *data = malloc(captured ? captured : 1);
		assert_non_null(data);
		memset(data, round, captured ? captured : 1);
		for (uint16_t i = 0; i < length; i++) {
			uint32_t random = next_random(&seed);
			program[i] = (struct sock_filter){.code = (uint16_t)(random & 0xff),
				.jt = (uint8_t)(random >> 8 & 15),
				.jf = (uint8_t)(random >> 12 & 15),
				.k = random & 0x10000 ? next_random(&seed) : next_random(&seed) % 48};
		}
		struct tpacket_packet packet = packet_of(data + (captured ? 0 : 1), captured);
		kept += tpk_filter_run(program, length, &packet) != 0;
		tpk_filter_can_run(program, length, TPACKET_VERSION_3, TPACKET_SOCKET_RAW);
		free(data);
	}
	assert_in_range(kept, 100, 19900); /* both happens */
}

static void test_what_only_the_kernel_knows_is_refused(void **state)
{
	const struct {
		uint32_t fact;
		bool raw, v1, datagram;
	} facts[] = {
		{SKF_AD_PROTOCOL, true, true, true},
		{SKF_AD_PKTTYPE, true, true, true},
		{SKF_AD_IFINDEX, true, true, true},
		{SKF_AD_HATYPE, true, true, true},
		{SKF_AD_ALU_XOR_X, true, true, true},
		{SKF_AD_VLAN_TAG, true, false, false},
		{SKF_AD_VLAN_TAG_PRESENT, true, false, false},
		{SKF_AD_VLAN_TPID, true, false, false},
		{SKF_AD_NLATTR, false, false, false},
		{SKF_AD_NLATTR_NEST, false, false, false},
		{SKF_AD_MARK, false, false, false},
		{SKF_AD_QUEUE, false, false, false},
		{SKF_AD_RXHASH, false, false, false},
		{SKF_AD_CPU, false, false, false},
		{SKF_AD_PAY_OFFSET, false, false, false},
		{SKF_AD_RANDOM, false, false, false},
	};

	for (size_t i = 0; i < COUNT(facts); i++) {
		const struct sock_filter program[] = {LD_FACT(facts[i].fact), RET(1)};
		assert_int_equal(tpk_filter_can_run(program, 2, TPACKET_VERSION_3, TPACKET_SOCKET_RAW), facts[i].raw);
		assert_int_equal(tpk_filter_can_run(program, 2, TPACKET_VERSION_2, TPACKET_SOCKET_RAW), facts[i].raw);
		assert_int_equal(tpk_filter_can_run(program, 2, TPACKET_VERSION_1, TPACKET_SOCKET_RAW), facts[i].v1);
		assert_int_equal(
			tpk_filter_can_run(program, 2, TPACKET_VERSION_3, TPACKET_SOCKET_DGRAM), facts[i].datagram);
	}
}

static bool can_run(const struct sock_filter *program, size_t length)
{
	return tpk_filter_can_run(program, (uint16_t)length, TPACKET_VERSION_3, TPACKET_SOCKET_RAW);
}

static void test_offsets_from_headers_are_refused(void **state)
{
	const struct sock_filter network[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_NET_OFF), RET(1000)};
	const struct sock_filter link[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_LL_OFF + 3), RET(1000)};
	const struct sock_filter msh[] = {BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, (uint32_t)SKF_NET_OFF), RET(1000)};
	const struct sock_filter immediate[] = {LD((uint32_t)SKF_NET_OFF), LDX((uint32_t)SKF_LL_OFF), RET(1000)};

	assert_false(can_run(network, 2));
	assert_false(can_run(link, 2));
	assert_false(can_run(msh, 2));
	assert_true(can_run(immediate, 3)); /* only numbers */
}

static void test_keeping_less_than_is_looked_at_is_refused(void **state)
{
	struct sock_filter absolute[] = {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 98), RET(100)};
	struct sock_filter indirect[] = {
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14), BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16), RET(78)};
	struct sock_filter computed[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 14), TAX, BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16), RET(65535)};
	const struct sock_filter returns_a[] = {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 98), RET_A};
	const struct sock_filter rejects[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 14), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 1, 0), RET(0), RET(15)};
	const struct sock_filter length_only[] = {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), RET_A};

	assert_true(can_run(absolute, 2));
	absolute[1].k = 99;
	assert_false(can_run(absolute, 2));
	assert_true(can_run(indirect, 3)); /* 60 + 16 + 2 */
	indirect[2].k = 77;
	assert_false(can_run(indirect, 3));
	assert_true(can_run(computed, 4));
	computed[3].k = 65534;
	assert_false(can_run(computed, 4));
	assert_false(can_run(returns_a, 2));
	assert_true(can_run(rejects, 4)); /* what is rejected needs nothing */
	assert_true(can_run(length_only, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instructions),
		cmocka_unit_test(test_no_tag),
		cmocka_unit_test(test_any_program_ends_inside_the_packet),
		cmocka_unit_test(test_what_only_the_kernel_knows_is_refused),
		cmocka_unit_test(test_offsets_from_headers_are_refused),
		cmocka_unit_test(test_keeping_less_than_is_looked_at_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
