/*
 * What the ring carries of sockets. It guarantees a fixed layout without padding: every event of a
 * socket begins as struct pm_net and says itself how much follows. Included by procmond.h only.
 */
#ifndef PROCMOND_NETWORK_EVENT_H
#define PROCMOND_NETWORK_EVENT_H

/* sun_path is 108 bytes; rounded up so that the event has no padding. */
#define PM_UNIX_PATH_BYTES 112
/* What fits a DNS message over UDP without fragments, by the flag day of 2020. */
#define PM_DNS_BYTES 1232
/* Connections whose end is still to come. A full table counts as loss, never as silence. */
#define PM_OWNERS_MAX 32768
/* Failed connects whose call has not returned. */
#define PM_FAILED_MAX 1024
/* Connects that found no room among the pending ones and whose call has not returned. */
#define PM_UNKEPT_MAX 8192
/* Destinations already told, per socket; the oldest is told again when it comes back. */
#define PM_TOLD_MAX 16384
/* Sockets that ask several DNS servers without connecting. */
#define PM_ASKED_MAX 4096
/* Places for descriptors connected to a DNS port, a power of two; most are closed after one answer. */
#define PM_DNS_DESCRIPTORS 4096

struct pm_net {
	struct pm_event head;
	__u16 family;
	__u16 lport;
	__u16 rport;
	__u16 protocol;
	__s32 result;
	__u32 netns;
	__u8 laddr[16];
	__u8 raddr[16];
	__u16 socket_type;
	__u16 direction; /* DNS: 0 sent, 1 received */
	__u16 path_bytes; /* of struct pm_unix */
	__u16 message_bytes; /* of struct pm_dns */
};

struct pm_close {
	struct pm_net net;
	__u64 bytes_sent;
	__u64 bytes_received;
};

/* The name as the kernel keeps it: an abstract one begins with NUL and may hold more of them. */
struct pm_unix {
	struct pm_net net;
	__u8 path[PM_UNIX_PATH_BYTES];
};

/* Only the used part of `message` enters the ring. */
struct pm_dns {
	struct pm_net net;
	__u8 message[PM_DNS_BYTES];
};

_Static_assert(sizeof(struct pm_net) == sizeof(struct pm_event) + 56, "no padding");
_Static_assert(sizeof(struct pm_close) == sizeof(struct pm_net) + 16, "no padding");
_Static_assert(sizeof(struct pm_unix) == sizeof(struct pm_net) + PM_UNIX_PATH_BYTES, "no padding");
_Static_assert(sizeof(struct pm_dns) == sizeof(struct pm_net) + PM_DNS_BYTES, "no padding");

#endif
