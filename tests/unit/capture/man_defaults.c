/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the defaults of all options as numbers, for man_page.py: structure, member, value. */
#include <stdint.h>
#include <stdio.h>

#include "tpacket.h"
#include "tpacket_tx.h"

#define SHOW(options, member) printf("%s " #member " %jd\n", #options, (intmax_t)(intptr_t)(options).member)

int main(void)
{
	struct tpacket_options tpacket_options;
	struct tpacket_tx_options tpacket_tx_options;

	tpacket_options_init(&tpacket_options);
	SHOW(tpacket_options, interface);
	SHOW(tpacket_options, netns);
	SHOW(tpacket_options, version);
	SHOW(tpacket_options, socket_type);
	SHOW(tpacket_options, protocol);
	SHOW(tpacket_options, frame_bytes);
	SHOW(tpacket_options, block_bytes);
	SHOW(tpacket_options, block_count);
	SHOW(tpacket_options, retire_ms);
	SHOW(tpacket_options, snap_length);
	SHOW(tpacket_options, promiscuous);
	SHOW(tpacket_options, all_multicast);
	SHOW(tpacket_options, ignore_outgoing);
	SHOW(tpacket_options, vnet_header);
	SHOW(tpacket_options, vnet_header_bytes);
	SHOW(tpacket_options, vlan);
	SHOW(tpacket_options, flow_hash);
	SHOW(tpacket_options, shrink);
	SHOW(tpacket_options, timestamp);
	SHOW(tpacket_options, filter);
	SHOW(tpacket_options, filter_length);
	SHOW(tpacket_options, filter_fd);
	SHOW(tpacket_options, fanout);
	SHOW(tpacket_options, fanout_flags);
	SHOW(tpacket_options, fanout_id);
	SHOW(tpacket_options, fanout_program);
	SHOW(tpacket_options, fanout_program_length);
	SHOW(tpacket_options, fanout_program_fd);
	SHOW(tpacket_options, fanout_join_running);
	SHOW(tpacket_options, reopen);
	SHOW(tpacket_options, reserve_sockets);

	tpacket_tx_options_init(&tpacket_tx_options);
	SHOW(tpacket_tx_options, interface);
	SHOW(tpacket_tx_options, netns);
	SHOW(tpacket_tx_options, version);
	SHOW(tpacket_tx_options, frame_bytes);
	SHOW(tpacket_tx_options, frame_count);
	SHOW(tpacket_tx_options, qdisc_bypass);
	SHOW(tpacket_tx_options, vnet_header_bytes);
	SHOW(tpacket_tx_options, shrink);
	return 0;
}
