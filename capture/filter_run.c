/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classic BPF in user space, on packets that lie in the ring. The result is the kernel's: net/core/filter.c,
 * bpf_check_classic() for what there is and bpf_convert_filter() for what it means. Whatever the program, it comes to
 * an end: jumps lead forward only.
 */
#include "internal.h"

/* As far as a program may look whose offsets cannot be foreseen. Longer than any frame but BIG TCP's. */
#define WHOLE_FRAME 65535u
/* `ldx 4*([k]&0xf)` */
#define MAX_MSH 60u

struct machine {
	uint32_t a;
	uint32_t x;
	uint32_t memory[BPF_MEMWORDS];
	const struct tpacket_packet *packet;
};

/* Big endian. False: reaches beyond the bytes that are there, which rejects the packet. */
static bool load(const struct tpacket_packet *packet, uint32_t offset, uint32_t bytes, uint32_t *ret_value)
{
	uint32_t value = 0;

	if (packet->captured_length < bytes || offset > packet->captured_length - bytes)
		return false;
	for (uint32_t i = 0; i < bytes; i++)
		value = value << 8 | packet->data[offset + i];
	*ret_value = value;
	return true;
}

static uint32_t load_bytes(uint16_t code)
{
	switch (BPF_SIZE(code)) {
	case BPF_B:
		return 1;
	case BPF_H:
		return 2;
	default:
		return 4;
	}
}

/* What the kernel knows of the packet and the ring tells. False: not one of those. */
static bool load_fact(struct machine *machine, uint32_t fact)
{
	const struct tpacket_packet *packet = machine->packet;
	bool has_tag = packet->status & TPACKET_STATUS_VLAN;

	switch (fact) {
	case SKF_AD_PROTOCOL:
		machine->a = packet->protocol;
		return true;
	case SKF_AD_PKTTYPE:
		machine->a = packet->packet_type;
		return true;
	case SKF_AD_IFINDEX:
		machine->a = packet->interface_index;
		return true;
	case SKF_AD_HATYPE:
		machine->a = packet->hardware_type;
		return true;
	case SKF_AD_ALU_XOR_X:
		machine->a ^= machine->x;
		return true;
	case SKF_AD_VLAN_TAG:
		machine->a = has_tag ? packet->vlan_tci : 0;
		return true;
	case SKF_AD_VLAN_TAG_PRESENT:
		machine->a = has_tag;
		return true;
	case SKF_AD_VLAN_TPID:
		machine->a = has_tag ? packet->vlan_tpid : 0;
		return true;
	default:
		return false;
	}
}

static bool run_load(struct machine *machine, const struct sock_filter *at)
{
	switch (BPF_MODE(at->code)) {
	case BPF_IMM:
		machine->a = at->k;
		return true;
	case BPF_LEN:
		machine->a = machine->packet->original_length;
		return true;
	case BPF_MEM:
		machine->a = machine->memory[at->k % BPF_MEMWORDS];
		return true;
	case BPF_ABS:
		if (at->k >= (uint32_t)SKF_AD_OFF)
			return load_fact(machine, at->k - (uint32_t)SKF_AD_OFF);
		return load(machine->packet, at->k, load_bytes(at->code), &machine->a);
	case BPF_IND:
		return load(machine->packet, machine->x + at->k, load_bytes(at->code), &machine->a);
	default:
		return false;
	}
}

static bool run_load_x(struct machine *machine, const struct sock_filter *at)
{
	switch (BPF_MODE(at->code)) {
	case BPF_IMM:
		machine->x = at->k;
		return true;
	case BPF_LEN:
		machine->x = machine->packet->original_length;
		return true;
	case BPF_MEM:
		machine->x = machine->memory[at->k % BPF_MEMWORDS];
		return true;
	case BPF_MSH:
		if (!load(machine->packet, at->k, 1, &machine->x))
			return false;
		machine->x = (machine->x & 0xf) << 2;
		return true;
	default:
		return false;
	}
}

/* False: division by zero, which rejects the packet. */
static bool run_alu(struct machine *machine, const struct sock_filter *at)
{
	uint32_t operand = BPF_SRC(at->code) == BPF_X ? machine->x : at->k;

	switch (BPF_OP(at->code)) {
	case BPF_ADD:
		machine->a += operand;
		return true;
	case BPF_SUB:
		machine->a -= operand;
		return true;
	case BPF_MUL:
		machine->a *= operand;
		return true;
	case BPF_DIV:
		machine->a = operand ? machine->a / operand : 0;
		return operand != 0;
	case BPF_MOD:
		machine->a = operand ? machine->a % operand : 0;
		return operand != 0;
	case BPF_OR:
		machine->a |= operand;
		return true;
	case BPF_AND:
		machine->a &= operand;
		return true;
	case BPF_XOR:
		machine->a ^= operand;
		return true;
	/* The kernel takes the low 5 bits, as the CPU does. */
	case BPF_LSH:
		machine->a <<= operand & 31;
		return true;
	case BPF_RSH:
		machine->a >>= operand & 31;
		return true;
	case BPF_NEG:
		machine->a = 0 - machine->a;
		return true;
	default:
		return false;
	}
}

/* How many instructions to leave out. */
static uint32_t run_jump(const struct machine *machine, const struct sock_filter *at)
{
	uint32_t operand = BPF_SRC(at->code) == BPF_X ? machine->x : at->k;

	switch (BPF_OP(at->code)) {
	case BPF_JA:
		return at->k;
	case BPF_JEQ:
		return machine->a == operand ? at->jt : at->jf;
	case BPF_JGT:
		return machine->a > operand ? at->jt : at->jf;
	case BPF_JGE:
		return machine->a >= operand ? at->jt : at->jf;
	default: /* BPF_JSET */
		return machine->a & operand ? at->jt : at->jf;
	}
}

/* Everything but jumps and returns. False: the packet is rejected. */
static bool run_step(struct machine *machine, const struct sock_filter *at)
{
	switch (BPF_CLASS(at->code)) {
	case BPF_LD:
		return run_load(machine, at);
	case BPF_LDX:
		return run_load_x(machine, at);
	case BPF_ST:
		machine->memory[at->k % BPF_MEMWORDS] = machine->a;
		return true;
	case BPF_STX:
		machine->memory[at->k % BPF_MEMWORDS] = machine->x;
		return true;
	case BPF_ALU:
		return run_alu(machine, at);
	default: /* BPF_MISC */
		if (BPF_MISCOP(at->code) == BPF_TXA)
			machine->a = machine->x;
		else
			machine->x = machine->a;
		return true;
	}
}

uint32_t tpk_filter_run(const struct sock_filter *filter, uint16_t length, const struct tpacket_packet *packet)
{
	struct machine machine = {.packet = packet};

	for (uint64_t pc = 0; pc < length; pc++) {
		const struct sock_filter *at = &filter[pc];
		if (BPF_CLASS(at->code) == BPF_RET)
			return BPF_RVAL(at->code) == BPF_A ? machine.a : at->k;
		if (BPF_CLASS(at->code) == BPF_JMP)
			pc += run_jump(&machine, at);
		else if (!run_step(&machine, at))
			return 0;
	}
	return 0; /* the kernel accepts no program that comes here */
}

/*
 * V1 does not tell the tag. A datagram socket tells one that the filter did not see: of a frame on the way out it is
 * read from the bytes.
 */
static bool tells_fact(uint32_t fact, enum tpacket_version version, enum tpacket_socket socket_type)
{
	switch (fact) {
	case SKF_AD_PROTOCOL:
	case SKF_AD_PKTTYPE:
	case SKF_AD_IFINDEX:
	case SKF_AD_HATYPE:
	case SKF_AD_ALU_XOR_X:
		return true;
	case SKF_AD_VLAN_TAG:
	case SKF_AD_VLAN_TAG_PRESENT:
	case SKF_AD_VLAN_TPID:
		return version != TPACKET_VERSION_1 && socket_type == TPACKET_SOCKET_RAW;
	default:
		return false;
	}
}

static bool is_packet_load(const struct sock_filter *at)
{
	uint16_t mode = BPF_MODE(at->code);

	return (BPF_CLASS(at->code) == BPF_LD && (mode == BPF_ABS || mode == BPF_IND)) ||
	       (BPF_CLASS(at->code) == BPF_LDX && mode == BPF_MSH);
}

/* Offsets from the link or network header, and facts: does the ring tell what the kernel would load? */
static bool can_load(const struct sock_filter *at, enum tpacket_version version, enum tpacket_socket socket_type)
{
	bool is_absolute = BPF_CLASS(at->code) == BPF_LD && BPF_MODE(at->code) == BPF_ABS;

	if (BPF_MODE(at->code) == BPF_IND || at->k < (uint32_t)SKF_LL_OFF)
		return true;
	/* How much of the frame the kernel can reach with these depends on how its buffer is made up. */
	if (!is_absolute || at->k < (uint32_t)SKF_AD_OFF)
		return false;
	return tells_fact(at->k - (uint32_t)SKF_AD_OFF, version, socket_type);
}

/* The largest value that X can have as an offset. */
static uint32_t largest_x(const struct sock_filter *filter, uint16_t length)
{
	uint32_t largest = 0;

	for (uint16_t i = 0; i < length; i++) {
		uint16_t code = filter[i].code;
		uint32_t x = 0;
		if (BPF_CLASS(code) == BPF_LDX && BPF_MODE(code) == BPF_MSH)
			x = MAX_MSH;
		else if (BPF_CLASS(code) == BPF_LDX && BPF_MODE(code) == BPF_IMM)
			x = filter[i].k;
		else if (BPF_CLASS(code) == BPF_LDX || (BPF_CLASS(code) == BPF_MISC && BPF_MISCOP(code) == BPF_TAX))
			x = WHOLE_FRAME;
		if (x > largest)
			largest = x;
	}
	return largest < WHOLE_FRAME ? largest : WHOLE_FRAME;
}

/* How many bytes of a packet the program may look at. */
static uint32_t largest_reach(const struct sock_filter *filter, uint16_t length)
{
	uint32_t x = largest_x(filter, length);
	uint32_t largest = 0;

	for (uint16_t i = 0; i < length; i++) {
		uint32_t offset = filter[i].k;
		if (!is_packet_load(&filter[i]))
			continue;
		if (BPF_MODE(filter[i].code) == BPF_IND) /* an offset may be negative */
			offset = offset > INT32_MAX ? x : offset + x;
		else if (offset > INT32_MAX) /* a fact, or always rejected */
			continue;
		uint32_t reach = offset + (BPF_CLASS(filter[i].code) == BPF_LD ? load_bytes(filter[i].code) : 1);
		if (reach > largest)
			largest = reach;
	}
	return largest < WHOLE_FRAME ? largest : WHOLE_FRAME;
}

/* How many bytes of a packet it keeps at least, if it keeps the packet. */
static uint32_t smallest_keep(const struct sock_filter *filter, uint16_t length)
{
	uint32_t smallest = UINT32_MAX;

	for (uint16_t i = 0; i < length; i++) {
		if (BPF_CLASS(filter[i].code) != BPF_RET)
			continue;
		if (BPF_RVAL(filter[i].code) == BPF_A)
			return 0;
		if (filter[i].k && filter[i].k < smallest)
			smallest = filter[i].k;
	}
	return smallest;
}

/*
 * A program that keeps fewer bytes than it looks at cannot be run once more on what it kept: a packet of which bytes
 * are missing could be its own as well as one that the filter before it has cut.
 */
bool tpk_filter_can_run(const struct sock_filter *filter, uint16_t length, enum tpacket_version version,
	enum tpacket_socket socket_type)
{
	for (uint16_t i = 0; i < length; i++) {
		if (is_packet_load(&filter[i]) && !can_load(&filter[i], version, socket_type))
			return false;
	}
	return largest_reach(filter, length) <= smallest_keep(filter, length);
}
