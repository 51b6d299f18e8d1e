/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what passes an interface, one line a packet: time, direction, lengths, VLAN tag, first bytes; until it is
 * interrupted. As few lines as it takes.
 *
 *	cc -o sniffer sniffer.c $(pkg-config --cflags --libs libtpacket)
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <tpacket.h>

int main(int argc, char **argv)
{
	static const char *const types[] = {"in", "broadcast", "multicast", "other-host", "out"};
	struct tpacket_options options;
	struct tpacket_error error;
	struct tpacket *handle;
	struct tpacket_packet p = {0};

	if (argc != 2)
		errx(2, "usage: sniffer INTERFACE");
	tpacket_options_init(&options);
	options.interface = argv[1];
	if (tpacket_open(&options, &handle, &error) < 0)
		errx(1, "%s", error.message);
	setvbuf(stdout, NULL, _IOLBF, 0);
	int r = tpacket_start(handle);
	warnx("listening on %s", argv[1]);
	for (; r >= 0 || r == -ENETDOWN; r = tpacket_read(handle, -1, &p)) {
		if (r < 0)
			warnx("%s is down", argv[1]); /* and goes on when it is up again */
		if (r != 1)
			continue;
		printf("%ju.%09u %s captured %u of %u", (uintmax_t)(p.time_ns / 1000000000),
			(unsigned int)(p.time_ns % 1000000000), types[p.packet_type % 5], p.captured_length,
			p.original_length);
		if (p.status & TPACKET_STATUS_VLAN)
			printf(" vlan 0x%04x:0x%04x", p.vlan_tpid, p.vlan_tci);
		for (unsigned int i = 0; i < p.captured_length && i < 24; i++)
			printf("%s%02x", i ? "" : " ", p.data[i]);
		putchar('\n');
	}
	tpacket_close(handle);
	errx(1, "%s: %s", argv[1], strerror(-r));
}
