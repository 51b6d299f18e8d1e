/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the verdict in user space the kernel's? Random programs, and what libpcap compiles, are attached to a socket on
 * the interface. What it receives of each frame is compared with what tpk_filter_run() says of the same frame as the
 * ring gave it: in all ring versions, with and without tags, coming in and going out.
 */
#include "net.h"
#include "internal.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <pcap/pcap.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PROGRAMS 4000
#define MAX_INSTRUCTIONS 40
#define WORDS 4u /* of M[] that are used; written first, as the kernel wants it */
#define MAX_BYTES 1514u

struct frame {
	uint8_t bytes[MAX_BYTES];
	uint32_t length;
	bool is_outgoing;
	bool is_ambiguous; /* on a datagram socket the ring tells another protocol than the filter sees */
};

static struct frame frames[16];
static uint32_t frame_count;
static struct net_copy samples[COUNT(frames)]; /* the same as the ring gave them */

static int in_sender, out_sender;
static int witness[2]; /* opened before and after: when both have a frame, the one between was asked */
static int judge;

static struct frame *add_frame(const uint8_t *bytes, uint32_t length)
{
	struct frame *frame = &frames[frame_count++];

	assert_true(frame_count <= COUNT(frames) && length <= MAX_BYTES);
	memcpy(frame->bytes, bytes, length);
	frame->length = length;
	return frame;
}

/* Put a tag behind the addresses. */
static void add_tag(struct frame *frame, uint16_t tpid, uint16_t tci)
{
	const uint8_t tag[4] = {(uint8_t)(tpid >> 8), (uint8_t)tpid, (uint8_t)(tci >> 8), (uint8_t)tci};

	memmove(frame->bytes + 16, frame->bytes + 12, frame->length - 12);
	memcpy(frame->bytes + 12, tag, 4);
	frame->length += 4;
}

static void make_frames(void)
{
	static const uint8_t macs[][6] = {
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x01, 0, 0x5e, 1, 2, 3}, {0x02, 9, 9, 9, 9, 9}};
	uint8_t bytes[MAX_BYTES];

	net_udp_frame(bytes, 12345);
	add_frame(bytes, NET_UDP_BYTES);
	add_tag(add_frame(bytes, NET_UDP_BYTES), 0x8100, 0x6064);
	add_tag(add_frame(bytes, NET_UDP_BYTES), 0x88a8, 0);
	add_tag(add_frame(bytes, NET_UDP_BYTES), 0x8100, 0xe000);
	struct frame *twice = add_frame(bytes, NET_UDP_BYTES);
	add_tag(twice, 0x8100, 7);
	add_tag(twice, 0x88a8, 100);
	twice->is_ambiguous = true;
	add_frame(bytes, NET_UDP_BYTES)->is_outgoing = true;
	struct frame *outgoing = add_frame(bytes, NET_UDP_BYTES);
	add_tag(outgoing, 0x8100, 0x2005);
	outgoing->is_outgoing = true;
	outgoing->is_ambiguous = true;
	for (uint32_t i = 0; i < COUNT(macs); i++) {
		net_frame(bytes, MAX_BYTES, i);
		memcpy(bytes, macs[i], 6);
		add_frame(bytes, 60 + 37 * i);
	}
	net_frame(bytes, MAX_BYTES, 99);
	add_frame(bytes, 18);
	add_frame(bytes, MAX_BYTES);
	bytes[12] = 0x08; /* IPv4 with options, TCP, made up */
	bytes[13] = 0x00;
	bytes[14] = 0x4f;
	bytes[23] = 6;
	add_frame(bytes, 300);
}

static void send_frame(const struct frame *frame)
{
	net_send(frame->is_outgoing ? out_sender : in_sender, frame->bytes, frame->length);
}

static int open_judge(int type)
{
	const struct timeval limit = {.tv_sec = 5};
	const struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)net_index(NET_LISTEN)};
	int fd = socket(AF_PACKET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	return fd;
}

static void open_sockets(int type)
{
	in_sender = net_sender(NET_SEND);
	out_sender = net_sender(NET_LISTEN);
	witness[0] = open_judge(type);
	judge = open_judge(type);
	witness[1] = open_judge(type);
}

static void close_sockets(void)
{
	close(in_sender);
	close(out_sender);
	close(witness[0]);
	close(witness[1]);
	close(judge);
}

/* How many bytes of a frame the program lets through, says the kernel. */
static uint32_t ask_kernel(const struct frame *frame)
{
	uint8_t buffer[4];

	send_frame(frame);
	for (int i = 0; i < 2; i++)
		assert_true(recv(witness[i], buffer, sizeof(buffer), MSG_TRUNC) > 0);
	ssize_t length = recv(judge, buffer, sizeof(buffer), MSG_TRUNC | MSG_DONTWAIT);
	if (length < 0)
		assert_int_equal(errno, EAGAIN);
	return length < 0 ? 0 : (uint32_t)length;
}

static void attach(const struct sock_filter *program, uint16_t length)
{
	const struct sock_fprog argument = {.len = length, .filter = (struct sock_filter *)program};

	int r = setsockopt(judge, SOL_SOCKET, SO_ATTACH_FILTER, &argument, sizeof(argument));
	assert_int_equal(r, 0);
}

static void print_program(const struct sock_filter *program, uint16_t length)
{
	for (uint16_t i = 0; i < length; i++)
		print_error("%3u: { 0x%02x, %u, %u, 0x%08x }\n", i, program[i].code, program[i].jt, program[i].jf,
			program[i].k);
}

/* Returns how many of the frames pass. */
static uint32_t compare(const struct sock_filter *program, uint16_t length, bool is_datagram)
{
	uint32_t passed = 0;

	attach(program, length);
	for (uint32_t i = 0; i < frame_count; i++) {
		const struct tpacket_packet *packet = &samples[i].packet;
		if (is_datagram && frames[i].is_ambiguous)
			continue;
		uint32_t want = ask_kernel(&frames[i]);
		uint32_t got = tpk_filter_run(program, length, packet);
		if (got > packet->original_length)
			got = packet->original_length;
		if (got != want) {
			print_error("frame %u: the kernel keeps %u bytes, the library %u\n", i, want, got);
			print_program(program, length);
		}
		assert_int_equal(got, want);
		passed += got > 0;
	}
	return passed;
}

static void take_samples(const struct tpacket_options *options)
{
	const struct sock_filter everything[] = {BPF_STMT(BPF_RET | BPF_K, UINT32_MAX)};
	struct tpacket *handle = net_open(options);

	attach(everything, 1);
	for (uint32_t i = 0; i < frame_count; i++) {
		send_frame(&frames[i]);
		net_take(handle, &samples[i]);
		uint8_t buffer[4];
		for (int j = 0; j < 2; j++)
			assert_true(recv(witness[j], buffer, sizeof(buffer), 0) > 0);
		assert_true(recv(judge, buffer, sizeof(buffer), 0) > 0);
	}
	tpacket_close(handle);
}

static uint64_t seed;

static uint32_t next_random(uint32_t limit)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 32) % limit;
}

static uint32_t random_offset(void)
{
	switch (next_random(20)) {
	case 0:
		return next_random(MAX_BYTES + 10);
	case 1:
		return 0x7fffffffu - next_random(8);
	default:
		return next_random(64);
	}
}

/* A number that is likely to be met in a frame, or not. */
static uint32_t random_number(void)
{
	static const uint32_t likely_numbers[] = {0x0800, 0x8100, 0x88b5, 17, 6, 0x45, 53, 1, 0, 0x6064, 64, 1514};

	switch (next_random(4)) {
	case 0:
		return next_random(UINT32_MAX);
	case 1:
		return next_random(256);
	default:
		return likely_numbers[next_random(COUNT(likely_numbers))];
	}
}

static struct sock_filter random_fact(bool has_tags)
{
	static const uint32_t facts[] = {SKF_AD_PROTOCOL, SKF_AD_PKTTYPE, SKF_AD_IFINDEX, SKF_AD_HATYPE,
		SKF_AD_ALU_XOR_X, SKF_AD_VLAN_TAG, SKF_AD_VLAN_TAG_PRESENT, SKF_AD_VLAN_TPID};
	static const uint16_t sizes[] = {BPF_W, BPF_H, BPF_B}; /* means nothing */

	return (struct sock_filter)BPF_STMT(BPF_LD | BPF_ABS | sizes[next_random(3)],
		(uint32_t)SKF_AD_OFF + facts[next_random(has_tags ? COUNT(facts) : 5)]);
}

static struct sock_filter random_load(bool has_tags)
{
	static const uint16_t sizes[] = {BPF_W, BPF_H, BPF_B};
	uint16_t size = sizes[next_random(3)];

	switch (next_random(10)) {
	case 0:
		return (struct sock_filter)BPF_STMT(BPF_LD | BPF_IND | size, random_offset());
	case 1:
		return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0);
	case 2:
		return (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, random_number());
	case 3:
		return (struct sock_filter)BPF_STMT(BPF_LD | BPF_MEM, next_random(WORDS));
	case 4:
	case 5:
		return random_fact(has_tags);
	default:
		return (struct sock_filter)BPF_STMT(BPF_LD | BPF_ABS | size, random_offset());
	}
}

static struct sock_filter random_load_x(void)
{
	switch (next_random(5)) {
	case 0:
		return (struct sock_filter)BPF_STMT(BPF_LDX | BPF_IMM, random_number());
	case 1:
		return (struct sock_filter)BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0);
	case 2:
		return (struct sock_filter)BPF_STMT(BPF_LDX | BPF_MEM, next_random(WORDS));
	case 3:
		return (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TAX, 0);
	default:
		return (struct sock_filter)BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, next_random(64));
	}
}

static struct sock_filter random_alu(void)
{
	static const uint16_t operations[] = {
		BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_MOD, BPF_OR, BPF_AND, BPF_XOR, BPF_LSH, BPF_RSH, BPF_NEG};
	uint16_t operation = operations[next_random(COUNT(operations))];
	uint32_t k = random_number();

	if (operation == BPF_NEG)
		return (struct sock_filter)BPF_STMT(BPF_ALU | BPF_NEG, 0);
	if (next_random(2))
		return (struct sock_filter)BPF_STMT(BPF_ALU | operation | BPF_X, 0);
	if (operation == BPF_LSH || operation == BPF_RSH)
		k %= 32;
	return (struct sock_filter)BPF_STMT(BPF_ALU | operation | BPF_K, k ? k : 1);
}

/* At most so many instructions may be left out. */
static struct sock_filter random_jump(uint32_t room)
{
	static const uint16_t conditions[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET};
	uint16_t source = next_random(3) ? BPF_K : BPF_X;

	if (next_random(10) == 0)
		return (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, next_random(room + 1));
	return (struct sock_filter)BPF_JUMP(BPF_JMP | conditions[next_random(4)] | source, random_number(),
		(uint8_t)next_random(room + 1), (uint8_t)next_random(room + 1));
}

static struct sock_filter random_return(void)
{
	static const uint32_t kept[] = {0, 1, 40, 65535, 0x40000, UINT32_MAX};

	if (next_random(3) == 0)
		return (struct sock_filter)BPF_STMT(BPF_RET | BPF_A, 0);
	return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, kept[next_random(COUNT(kept))]);
}

static struct sock_filter random_instruction(uint32_t room, bool has_tags)
{
	switch (next_random(10)) {
	case 0:
		return (struct sock_filter)BPF_STMT(next_random(2) ? BPF_ST : BPF_STX, next_random(WORDS));
	case 1:
		return (struct sock_filter)BPF_STMT(BPF_MISC | BPF_TXA, 0);
	case 2:
		return random_load_x();
	case 3:
	case 4:
		return random_alu();
	case 5:
	case 6:
		return random_jump(room);
	case 7:
		return next_random(6) ? random_alu() : random_return();
	default:
		return random_load(has_tags);
	}
}

static uint16_t random_program(struct sock_filter *program, bool has_tags)
{
	uint16_t length = (uint16_t)(WORDS + 2 + next_random(MAX_INSTRUCTIONS - WORDS - 2));

	for (uint16_t i = 0; i < length - 1; i++) {
		if (i < WORDS)
			program[i] = (struct sock_filter)BPF_STMT(BPF_ST, i);
		else
			program[i] = random_instruction(length - i - 2u, has_tags);
	}
	program[length - 1] = random_return();
	return length;
}

static void compare_random_programs(const struct tpacket_options *options)
{
	bool is_datagram = options->socket_type == TPACKET_SOCKET_DGRAM;
	bool has_tags = options->version != TPACKET_VERSION_1 && !is_datagram;
	uint32_t passed = 0, asked = 0;

	seed = options->version;
	for (int i = 0; i < PROGRAMS; i++) {
		struct sock_filter program[MAX_INSTRUCTIONS];
		uint16_t length = random_program(program, has_tags);
		passed += compare(program, length, is_datagram);
		asked += frame_count;
	}
	/* A comparison of nothing but rejected frames would show nothing. */
	assert_in_range(passed, asked / 5, asked / 5 * 4);
}

static void test_random_programs(void **state)
{
	for (int type = TPACKET_SOCKET_RAW; type <= TPACKET_SOCKET_DGRAM; type++) {
		open_sockets(type == TPACKET_SOCKET_RAW ? SOCK_RAW : SOCK_DGRAM);
		for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++) {
			struct tpacket_options options;
			net_options(&options);
			options.version = version;
			options.socket_type = (enum tpacket_socket)type;
			take_samples(&options);
			compare_random_programs(&options);
		}
		close_sockets();
	}
}

/* The handle's device decides how `vlan` is compiled: alive, it asks for the tag that was taken out. */
static void test_what_libpcap_compiles(void **state)
{
	static const struct {
		const char *text;
		uint32_t passed; /* of the frames; UINT32_MAX: not said */
	} filters[] = {
		{"vlan", 5},
		{"vlan 100", 2},
		{"vlan 100 and udp", 1},
		{"vlan and vlan", 1},
		{"udp", UINT32_MAX},
		{"udp dst port 53", UINT32_MAX},
		{"tcp or arp", 1},
		{"ip host 10.9.0.1", UINT32_MAX},
		{"ip[2:2] - 5 > 20", UINT32_MAX},
		{"udp[8:4] & 1 = 1", UINT32_MAX},
		{"udp[ip[0] & 15] >= 2", UINT32_MAX},
		{"ip[6:2] & 0x1fff = 0 and tcp[((tcp[12] & 0xf0) >> 2):4] = 0x12345678", UINT32_MAX},
		{"ether multicast", UINT32_MAX},
		{"ether broadcast", UINT32_MAX},
		{"greater 90", UINT32_MAX},
		{"len / 7 % 3 = 1", UINT32_MAX},
		{"inbound", 11},
		{"outbound", 2},
		{"ether proto 0x88b5 and not ether host 02:09:09:09:09:09", UINT32_MAX},
		{"ip6 or ip or portrange 10-20", UINT32_MAX},
	};
	char text[PCAP_ERRBUF_SIZE];
	struct tpacket_options options;

	open_sockets(SOCK_RAW);
	net_options(&options);
	take_samples(&options);
	pcap_t *pcap = pcap_create(NET_LISTEN, text);
	assert_non_null(pcap);
	assert_true(pcap_activate(pcap) >= 0);
	for (size_t i = 0; i < COUNT(filters); i++) {
		struct bpf_program program;
		assert_int_equal(pcap_compile(pcap, &program, filters[i].text, 1, 0xffffffff), 0);
		const struct sock_filter *filter = (const struct sock_filter *)program.bf_insns;
		uint32_t passed = compare(filter, (uint16_t)program.bf_len, false);
		if (filters[i].passed != UINT32_MAX && passed != filters[i].passed)
			print_error("'%s': %u frames passed\n", filters[i].text, passed);
		if (filters[i].passed != UINT32_MAX)
			assert_int_equal(passed, filters[i].passed);
		/* So they can be swapped. */
		assert_true(
			tpk_filter_can_run(filter, (uint16_t)program.bf_len, TPACKET_VERSION_3, TPACKET_SOCKET_RAW));
		pcap_freecode(&program);
	}
	pcap_close(pcap);
	close_sockets();
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_random_programs),
		NET_TEST(test_what_libpcap_compiles),
	};
	net_enter();
	make_frames();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
