/* SPDX-License-Identifier: Apache-2.0 */
#include "interface.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>

#include "log.h"

#define LINKTYPE_ETHERNET 1
#define LINKTYPE_RAW 101
#define LINKTYPE_IEEE802_11_RADIOTAP 127

int wb_interface_link_type(uint16_t hardware_type)
{
	switch (hardware_type) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		return LINKTYPE_ETHERNET;
	case ARPHRD_NONE: /* tun, WireGuard */
	case ARPHRD_RAWIP:
		return LINKTYPE_RAW;
	case ARPHRD_IEEE80211_RADIOTAP:
		return LINKTYPE_IEEE802_11_RADIOTAP;
	default:
		return -1;
	}
}

/* Speed of the interface in bits per second; 0 when the driver does not say. */
static uint64_t speed_bps(int fd, const char *interface)
{
	struct ethtool_cmd command = {.cmd = ETHTOOL_GSET};
	struct ifreq request;
	uint32_t mbps;

	memset(&request, 0, sizeof request);
	strncpy(request.ifr_name, interface, sizeof request.ifr_name - 1);
	request.ifr_data = (void *)&command;
	if (ioctl(fd, SIOCETHTOOL, &request) < 0)
		return 0;
	mbps = ethtool_cmd_speed(&command);
	return mbps == 0 || mbps == (uint32_t)SPEED_UNKNOWN ? 0 : (uint64_t)mbps * 1000000u;
}

int wb_interface_describe(const struct wb_capture_config *config, const struct tpacket *ring,
	struct wbproto_interface *ret_interface, struct wb_error *ret_error)
{
	int type = wb_interface_link_type(tpacket_hardware_type(ring));

	if (type < 0)
		return wb_fail(ret_error, -EOPNOTSUPP,
			"interface '%s' has hardware type %u; supported are Ethernet, loopback, IP tunnels (none, "
			"rawip) and "
			"802.11 with radiotap",
			config->interface, tpacket_hardware_type(ring));
	memset(ret_interface, 0, sizeof *ret_interface);
	ret_interface->index = tpacket_interface_index(ring);
	ret_interface->link_type = (uint32_t)type;
	ret_interface->snap_length = (uint32_t)config->snap_length;
	ret_interface->timestamp_source =
		config->timestamp == TPACKET_TIMESTAMP_HARDWARE ? WBPROTO_TIME_HARDWARE : WBPROTO_TIME_SOFTWARE;
	ret_interface->speed_bps = speed_bps(tpacket_fd(ring), config->interface);
	ret_interface->name.data = config->interface;
	ret_interface->name.length = strlen(config->interface);
	ret_interface->filter.data = config->filter;
	ret_interface->filter.length = config->filter ? strlen(config->filter) : 0;
	ret_interface->defragmented = config->workers > 1 && config->defragment;
	return 0;
}

enum wb_own_link wb_interface_own_link(uint32_t link_type)
{
	switch (link_type) {
	case LINKTYPE_ETHERNET:
		return WB_OWN_LINK_ETHERNET;
	case LINKTYPE_RAW:
		return WB_OWN_LINK_IP;
	default:
		return WB_OWN_LINK_NONE;
	}
}
