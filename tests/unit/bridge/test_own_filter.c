/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that leave own connections out: the kernel's judgement, and that of libtpacket in user space, of many
 * packets is that of a model which reads packets without BPF; packets are whole and cut, tagged and not, ours, nearly
 * ours and hostile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "internal.h" /* libtpacket's judge */
#include "own_filter.h"
#include "own_model.h"

#define KEEP 262144u

/* ---- what judges ---- */

struct judge {
	int fds[2];
	struct wb_filter program;
};

static void judge_init(struct judge *judge, const struct wb_own_connection *connections, size_t count,
	enum wb_own_form form, enum wb_own_link link, const struct wb_filter *user)
{
	struct sock_fprog program;

	assert_int_equal(wb_own_compose(connections, count, form, link, user, KEEP, &judge->program), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, judge->fds), 0);
	program = (struct sock_fprog){.len = judge->program.length, .filter = judge->program.code};
	assert_int_equal(setsockopt(judge->fds[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
	/* Else it could not be attached while packets flow. */
	assert_true(
		tpk_filter_can_run(judge->program.code, judge->program.length, TPACKET_VERSION_1, TPACKET_SOCKET_RAW));
}

static void judge_fini(struct judge *judge)
{
	close(judge->fds[0]);
	close(judge->fds[1]);
	wb_filter_fini(&judge->program);
}

/* Whether the kernel lets it pass; both judges agree. */
static bool passes(struct judge *judge, const struct packet *packet)
{
	struct tpacket_packet view = {.data = packet->bytes,
		.captured_length = (uint32_t)packet->length,
		.original_length = (uint32_t)packet->length};
	uint32_t keep = tpk_filter_run(judge->program.code, judge->program.length, &view);
	uint8_t received[OWN_MODEL_LONGEST];
	bool passed;

	/* The sender is not told what the filter rejects. */
	assert_int_equal(send(judge->fds[0], packet->bytes, packet->length, 0), (ssize_t)packet->length);
	passed = recv(judge->fds[1], received, sizeof received, MSG_DONTWAIT) == (ssize_t)packet->length;
	assert_int_equal(keep, passed ? KEEP : 0);
	return passed;
}

/* ---- packets ---- */

static uint64_t seed = 88172645463325252u;

static uint32_t random_below(uint32_t limit)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % limit;
}

/* From so small a set that packets are ours often. */
static void random_address(int family, uint8_t *address)
{
	memset(address, 0, 16);
	address[0] = family == AF_INET ? 10 : 0xfd;
	address[random_below(2) ? 3 : family == AF_INET ? 2 : 15] = (uint8_t)(1 + random_below(2));
}

static uint16_t random_port(unsigned int ports)
{
	return (uint16_t)(40000 + random_below(ports));
}

static void random_connection(struct wb_own_connection *c, int family, unsigned int ports)
{
	memset(c, 0, sizeof *c);
	c->family = family;
	random_address(family, c->local);
	random_address(family, c->remote);
	c->local_port = random_port(ports);
	c->remote_port = random_port(ports);
}

static size_t put_link(struct packet *packet, enum wb_own_link link, int family)
{
	static const uint16_t tags[] = {0x8100, 0x88a8, 0x9100};
	uint32_t count = random_below(4); /* three are one too many */
	size_t at = 12;

	if (link == WB_OWN_LINK_IP)
		return 0;
	for (uint32_t i = 0; i < count; i++, at += 4) {
		uint16_t tag = tags[random_below(3)];

		packet->bytes[at] = (uint8_t)(tag >> 8);
		packet->bytes[at + 1] = (uint8_t)tag;
	}
	packet->bytes[at] = family == AF_INET ? 0x08 : 0x86;
	packet->bytes[at + 1] = family == AF_INET ? 0x00 : 0xdd;
	return at + 2;
}

static void put_ports(uint8_t *at, unsigned int ports)
{
	uint16_t from = random_port(ports);
	uint16_t to = random_port(ports);

	at[0] = (uint8_t)(from >> 8);
	at[1] = (uint8_t)from;
	at[2] = (uint8_t)(to >> 8);
	at[3] = (uint8_t)to;
}

static void random_packet(struct packet *packet, enum wb_own_link link, unsigned int ports)
{
	int family = random_below(2) ? AF_INET : AF_INET6;
	uint8_t addresses[32];
	uint8_t *ip;

	memset(packet, 0, sizeof *packet);
	ip = packet->bytes + put_link(packet, link, family);
	random_address(family, addresses);
	random_address(family, addresses + 16);
	packet->length = 150 + random_below(60);
	if (family == AF_INET) {
		ip[0] = (uint8_t)(0x40 | (random_below(4) ? 5 : random_below(16)));
		ip[6] = random_below(8) ? 0x40 : (uint8_t)random_below(256); /* do not fragment, or anything */
		ip[9] = random_below(8) ? IPPROTO_TCP : IPPROTO_UDP;
		memcpy(ip + 12, addresses, 4);
		memcpy(ip + 16, addresses + 16, 4);
		put_ports(ip + 4 * (ip[0] & 0xf), ports);
	} else {
		ip[0] = 0x60;
		ip[6] = random_below(8) ? IPPROTO_TCP : IPPROTO_UDP;
		memcpy(ip + 8, addresses, 32);
		put_ports(ip + 40, ports);
	}
	if (random_below(4) == 0)
		packet->length = 1 + random_below(120);
	if (random_below(16) == 0)
		packet->bytes[random_below(80)] ^= (uint8_t)(1 << random_below(8));
}

static void compare(const struct wb_own_connection *connections, size_t count, enum wb_own_form form,
	enum wb_own_link link, unsigned int ports, unsigned int packets)
{
	struct judge judge;
	unsigned int own = 0;

	judge_init(&judge, connections, count, form, link, NULL);
	for (unsigned int i = 0; i < packets; i++) {
		struct packet packet;
		bool expected;

		random_packet(&packet, link, ports);
		expected = own_model_says(connections, count, form, link, &packet);
		own += expected;
		if (passes(&judge, &packet) == expected)
			fail_msg("form %d, %zu connections: a packet of %zu bytes is judged wrongly", (int)form, count,
				packet.length);
	}
	assert_true(own > packets / 500);
	assert_true(own < packets);
	judge_fini(&judge);
}

static void random_packets_are_judged_as_the_model_does(void **state)
{
	static const size_t counts[] = {1, 2, 4, 5, 9, 40, 130};
	static const enum wb_own_link links[] = {WB_OWN_LINK_ETHERNET, WB_OWN_LINK_IP};
	struct wb_own_connection connections[130];

	for (size_t n = 0; n < sizeof counts / sizeof counts[0]; n++) {
		for (unsigned int form = WB_OWN_EXACT; form <= WB_OWN_ENDPOINTS; form++) {
			unsigned int ports = counts[n] < 6 ? 2 : 9;

			for (size_t i = 0; i < counts[n]; i++) {
				struct wb_own_connection *c = &connections[i];

				/* Of IPv6 no more than fit with both ends. */
				random_connection(c, i % 4 == 1 ? AF_INET6 : AF_INET, ports);
				if (random_below(8) == 0)
					c->remote_port = 0;
				c->any_local = random_below(12) == 0;
				c->any_remote = !c->remote_port || random_below(12) == 0;
			}
			compare(connections, counts[n], (enum wb_own_form)form, links[n % 2], ports, 6000);
			compare(connections, counts[n], (enum wb_own_form)form, links[(n + 1) % 2], ports, 2000);
		}
	}
}

/* ---- by hand ---- */

static const struct wb_own_connection v4 = {.family = AF_INET,
	.local = {192, 0, 2, 1},
	.local_port = 50000,
	.remote = {198, 51, 100, 7},
	.remote_port = 9092};

static void put_v4(struct packet *packet, const struct wb_own_connection *c, bool outgoing)
{
	uint8_t *ip = packet->bytes + 14;
	uint16_t from = outgoing ? c->local_port : c->remote_port;
	uint16_t to = outgoing ? c->remote_port : c->local_port;

	memset(packet, 0, sizeof *packet);
	packet->length = 60;
	packet->bytes[12] = 0x08;
	ip[0] = 0x45;
	ip[6] = 0x40;
	ip[9] = IPPROTO_TCP;
	memcpy(ip + 12, outgoing ? c->local : c->remote, 4);
	memcpy(ip + 16, outgoing ? c->remote : c->local, 4);
	ip[20] = (uint8_t)(from >> 8);
	ip[21] = (uint8_t)from;
	ip[22] = (uint8_t)(to >> 8);
	ip[23] = (uint8_t)to;
}

/* Every single bit of what identifies the connection counts, in both directions, and every length too short to tell. */
static void every_bit_counts(void **state)
{
	for (int outgoing = 0; outgoing < 2; outgoing++) {
		struct packet packet;
		struct judge judge;

		judge_init(&judge, &v4, 1, WB_OWN_EXACT, WB_OWN_LINK_ETHERNET, NULL);
		put_v4(&packet, &v4, outgoing);
		assert_false(passes(&judge, &packet));
		for (unsigned int bit = 8 * (14 + 12); bit < 8 * (14 + 24); bit++) {
			packet.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_true(passes(&judge, &packet));
			packet.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		for (packet.length = 1; packet.length < 60; packet.length++)
			assert_int_equal(passes(&judge, &packet), packet.length < 14 + 24);
		judge_fini(&judge);
	}
}

/* Others at the same broker, and other connections of this host, are captured. */
static void only_the_connection(void **state)
{
	struct wb_own_connection other = v4;
	struct packet packet;
	struct judge judge;

	judge_init(&judge, &v4, 1, WB_OWN_EXACT, WB_OWN_LINK_ETHERNET, NULL);
	other.local[3] = 2;
	put_v4(&packet, &other, true);
	assert_true(passes(&judge, &packet));
	other = v4;
	other.local_port++;
	put_v4(&packet, &other, false);
	assert_true(passes(&judge, &packet));
	judge_fini(&judge);
	judge_init(&judge, &v4, 1, WB_OWN_ENDPOINTS, WB_OWN_LINK_ETHERNET, NULL);
	assert_false(passes(&judge, &packet));
	other.remote_port++;
	put_v4(&packet, &other, false);
	assert_true(passes(&judge, &packet));
	judge_fini(&judge);
}

/* ---- together with the user's filter ---- */

static void compile(
	const char *expression, unsigned int snap_length, struct bpf_program *ret_program, struct wb_filter *ret_filter)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, (int)snap_length);

	assert_non_null(pcap);
	assert_int_equal(pcap_compile(pcap, ret_program, expression, 1, PCAP_NETMASK_UNKNOWN), 0);
	pcap_close(pcap);
	ret_filter->code = (struct sock_filter *)ret_program->bf_insns;
	ret_filter->length = (uint16_t)ret_program->bf_len;
}

static void the_users_filter_holds_as_well(void **state)
{
	static const char *const expressions[] = {"tcp", "not tcp port 40001", "ip6 or src host 10.0.0.1", "vlan",
		"tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0", "less 100", "ip[0] & 0xf != 5 and tcp"};
	struct wb_own_connection connections[20];
	struct packet packet;

	for (size_t i = 0; i < 20; i++)
		random_connection(&connections[i], i % 2 ? AF_INET : AF_INET6, 4);
	for (size_t i = 0; i < sizeof expressions / sizeof expressions[0]; i++) {
		struct bpf_program program;
		struct wb_filter user;
		struct judge judge;
		unsigned int passed = 0;

		compile(expressions[i], KEEP, &program, &user);
		judge_init(&judge, connections, 20, WB_OWN_EXACT, WB_OWN_LINK_ETHERNET, &user);
		for (unsigned int n = 0; n < 5000; n++) {
			bool expected;

			random_packet(&packet, WB_OWN_LINK_ETHERNET, 4);
			expected = bpf_filter(program.bf_insns, packet.bytes, (u_int)packet.length,
					   (u_int)packet.length) &&
			           !own_model_says(connections, 20, WB_OWN_EXACT, WB_OWN_LINK_ETHERNET, &packet);
			assert_int_equal(passes(&judge, &packet), expected);
			passed += expected;
		}
		assert_in_range(passed, 1, 4999);
		judge_fini(&judge);
		pcap_freecode(&program);
	}
}

/* With a short snap length enough is kept for the packets in the ring to be judged anew, and no more than that. */
static void short_packets_can_be_judged_anew(void **state)
{
	static const struct {
		const char *expression;
		uint32_t reach;
	} rows[] = {{"tcp port 80", 100}, {"tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0", 65535}, {"ether[200] = 1", 204},
		{"ip", 100}};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct wb_filter composed = {0};
		struct bpf_program program;
		struct wb_filter user;

		compile(rows[i].expression, 60, &program, &user);
		assert_int_equal(wb_own_reach(&user), rows[i].reach);
		assert_int_equal(wb_own_compose(&v4, 1, WB_OWN_EXACT, WB_OWN_LINK_ETHERNET, &user, wb_own_reach(&user),
					 &composed),
			0);
		assert_true(tpk_filter_can_run(composed.code, composed.length, TPACKET_VERSION_3, TPACKET_SOCKET_RAW));
		wb_filter_fini(&composed);
		pcap_freecode(&program);
	}
	assert_int_equal(wb_own_reach(NULL), 100);
}

static void without_connections_it_is_the_users(void **state)
{
	struct wb_filter composed = {0};
	struct bpf_program program;
	struct wb_filter user;

	compile("tcp port 80", KEEP, &program, &user);
	assert_int_equal(wb_own_compose(NULL, 0, WB_OWN_EXACT, WB_OWN_LINK_ETHERNET, &user, KEEP, &composed), 0);
	assert_int_equal(composed.length, user.length);
	assert_memory_equal(composed.code, user.code, user.length * sizeof *user.code);
	wb_filter_fini(&composed);
	/* Monitor mode: nothing is known of the frames. */
	assert_int_equal(wb_own_compose(&v4, 1, WB_OWN_EXACT, WB_OWN_LINK_NONE, &user, KEEP, &composed), 0);
	assert_int_equal(composed.length, user.length);
	wb_filter_fini(&composed);
	pcap_freecode(&program);
}

/* ---- how many ---- */

static void make_many(struct wb_own_connection *connections, size_t count, int family)
{
	for (size_t i = 0; i < count; i++) {
		memset(&connections[i], 0, sizeof connections[i]);
		connections[i].family = family;
		connections[i].local[0] = 10;
		connections[i].remote[0] = 20;
		connections[i].remote[1] = (uint8_t)(i % 7);
		connections[i].local_port = (uint16_t)(30000 + i);
		connections[i].remote_port = 9092;
	}
}

static bool fits(size_t count, int family, enum wb_own_form form)
{
	struct wb_own_connection *connections = calloc(count, sizeof *connections);
	struct wb_filter program = {0};
	int r;

	assert_non_null(connections);
	make_many(connections, count, family);
	r = wb_own_compose(connections, count, form, WB_OWN_LINK_ETHERNET, NULL, KEEP, &program);
	assert_true(r == 0 || r == -E2BIG);
	wb_filter_fini(&program);
	free(connections);
	return r == 0;
}

static void many_connections_fit(void **state)
{
	assert_true(fits(200, AF_INET, WB_OWN_EXACT));
	assert_true(fits(90, AF_INET6, WB_OWN_EXACT));
	assert_false(fits(400, AF_INET, WB_OWN_EXACT));
	assert_true(fits(1024, AF_INET, WB_OWN_LOCAL));
	assert_true(fits(1024, AF_INET6, WB_OWN_LOCAL));
	assert_false(fits(3000, AF_INET, WB_OWN_LOCAL));
	/* One endpoint, however many connections it has. */
	assert_true(fits(3000, AF_INET, WB_OWN_ENDPOINTS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_packets_are_judged_as_the_model_does),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(only_the_connection),
		cmocka_unit_test(the_users_filter_holds_as_well),
		cmocka_unit_test(short_packets_can_be_judged_anew),
		cmocka_unit_test(without_connections_it_is_the_users),
		cmocka_unit_test(many_connections_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
