/*
 * What the ring carries of sockets. It guarantees a fixed layout without padding. Included by
 * procmond.h only.
 */
#ifndef PROCMOND_NETWORK_EVENT_H
#define PROCMOND_NETWORK_EVENT_H

struct pm_net {
	struct pm_event head;
	__u16 family;
	__u16 lport;
	__u16 rport;
	__u16 reserved;
	__s32 result;
	__u32 netns;
	__u8 laddr[16];
	__u8 raddr[16];
};

_Static_assert(sizeof(struct pm_net) == sizeof(struct pm_event) + 48, "no padding");

#endif
