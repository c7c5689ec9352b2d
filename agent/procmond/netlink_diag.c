/*
 * Asks sock_diag, see netlink_diag.h. It guarantees that a row is taken only from a complete
 * message. It must never wait for the kernel longer than one answer: a dump is made while it is
 * read.
 */
#include "netlink_diag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* What the kernel fills per read of a dump. */
#define DUMP_BYTES 32768
/* Ends wait here between two looks; each takes about a kilobyte of kernel memory. */
#define ENDS_RCVBUF_BYTES (4 * 1024 * 1024)
#define FAMILIES 2

/* A dump is made while it is read; nothing that answers takes this long. */
#define ANSWER_SECONDS 2

static uint64_t u64_at(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static void take_info(const uint8_t *info, size_t length, struct net_bytes *bytes)
{
	/* Kernels before 4.19 end earlier. */
	if (length < offsetof(struct tcp_info, tcpi_bytes_retrans) + sizeof(uint64_t))
		return;
	bytes->known = true;
	bytes->received = u64_at(info + offsetof(struct tcp_info, tcpi_bytes_received));
	/* What was sent again is counted in both. */
	bytes->sent = u64_at(info + offsetof(struct tcp_info, tcpi_bytes_sent)) -
		      u64_at(info + offsetof(struct tcp_info, tcpi_bytes_retrans));
}

static void take_attributes(const uint8_t *at, size_t left, struct net_row *row,
			    struct net_bytes *bytes)
{
	while (left >= NLA_HDRLEN) {
		struct nlattr attribute;
		size_t step;

		memcpy(&attribute, at, sizeof(attribute));
		if (attribute.nla_len < NLA_HDRLEN || attribute.nla_len > left)
			return;
		if (attribute.nla_type == INET_DIAG_INFO)
			take_info(at + NLA_HDRLEN, attribute.nla_len - NLA_HDRLEN, bytes);
		/* Told of the end of a socket, where the request cannot say it. */
		if (attribute.nla_type == INET_DIAG_PROTOCOL && attribute.nla_len > NLA_HDRLEN)
			row->protocol = at[NLA_HDRLEN];
		step = NLA_ALIGN(attribute.nla_len);
		if (step > left)
			return;
		at += step;
		left -= step;
	}
}

static bool take_row(const struct inet_diag_msg *in, struct net_row *row, int *state)
{
	uint64_t cookie = (uint64_t)in->id.idiag_cookie[1] << 32 | in->id.idiag_cookie[0];

	if (in->idiag_family != AF_INET && in->idiag_family != AF_INET6)
		return false;
	row->family = in->idiag_family;
	row->lport = ntohs(in->id.idiag_sport);
	row->rport = ntohs(in->id.idiag_dport);
	memcpy(row->laddr, in->id.idiag_src, row->family == AF_INET ? 4 : 16);
	memcpy(row->raddr, in->id.idiag_dst, row->family == AF_INET ? 4 : 16);
	row->inode = in->idiag_inode;
	row->key = cookie;
	*state = in->idiag_state;
	return cookie != 0;
}

enum nldiag_next nldiag_next(const uint8_t **at, size_t *left, struct net_row *row, int *state,
			     struct net_bytes *bytes)
{
	const uint8_t *message = *at;
	struct inet_diag_msg in;
	struct nlmsghdr head;
	size_t step, body = NLMSG_HDRLEN + sizeof(in);

	memset(row, 0, sizeof(*row));
	*bytes = (struct net_bytes){0};
	*state = 0;
	if (*left < sizeof(head))
		return NLDIAG_DONE;
	memcpy(&head, message, sizeof(head));
	if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > *left)
		return NLDIAG_BAD;
	step = NLMSG_ALIGN(head.nlmsg_len);
	if (step > *left)
		step = *left;
	*at += step;
	*left -= step;
	if (head.nlmsg_type == NLMSG_DONE)
		return NLDIAG_DONE;
	if (head.nlmsg_type == NLMSG_ERROR)
		return NLDIAG_BAD;
	if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY || head.nlmsg_len < body)
		return NLDIAG_SKIP;
	memcpy(&in, message + NLMSG_HDRLEN, sizeof(in));
	take_attributes(message + body, head.nlmsg_len - body, row, bytes);
	return take_row(&in, row, state) ? NLDIAG_ROW : NLDIAG_SKIP;
}

void nldiag_open(struct nldiag *diag)
{
	struct sockaddr_nl groups = {.nl_family = AF_NETLINK};
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};
	int bytes = ENDS_RCVBUF_BYTES;

	*diag = (struct nldiag){.sequence = 1};
	diag->dump_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	diag->ends_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (diag->dump_fd >= 0)
		setsockopt(diag->dump_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	groups.nl_groups = 1u << (SKNLGRP_INET_TCP_DESTROY - 1) |
			   1u << (SKNLGRP_INET6_TCP_DESTROY - 1);
	if (diag->ends_fd >= 0 &&
	    bind(diag->ends_fd, (struct sockaddr *)&groups, sizeof(groups))) {
		close(diag->ends_fd);
		diag->ends_fd = -1;
	}
	if (diag->ends_fd >= 0 && setsockopt(diag->ends_fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes,
					     sizeof(bytes)))
		setsockopt(diag->ends_fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

void nldiag_close(struct nldiag *diag)
{
	if (diag->dump_fd >= 0)
		close(diag->dump_fd);
	if (diag->ends_fd >= 0)
		close(diag->ends_fd);
	diag->dump_fd = diag->ends_fd = -1;
}

static bool ask(struct nldiag *diag, uint8_t family, uint8_t protocol)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 body;
	} request = {0};
	uint32_t skipped = 1u << NET_STATE_SYN_SENT | 1u << NET_STATE_SYN_RECV |
			   1u << NET_STATE_TIME_WAIT;

	request.head.nlmsg_len = sizeof(request);
	request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request.head.nlmsg_seq = ++diag->sequence;
	request.body.sdiag_family = family;
	request.body.sdiag_protocol = protocol;
	request.body.idiag_states = protocol == NET_TCP ? ~skipped : ~0u;
	return send(diag->dump_fd, &request, sizeof(request), 0) == sizeof(request);
}

static void take(struct net_table *next, const struct net_table *known, struct net_row *row,
		 uint8_t protocol, int state)
{
	row->protocol = protocol;
	row->is_listening = state == (protocol == NET_TCP ? NET_STATE_LISTEN : NET_STATE_CLOSED);
	/* UDP without a port has done nothing yet; a closed socket is kept only if it was known. */
	if ((protocol == NET_UDP && !row->lport) ||
	    (!row->inode && !net_table_find(known, row->key)))
		return;
	net_table_add(next, row);
}

static bool dump(struct nldiag *diag, struct net_table *next, const struct net_table *known,
		 uint8_t protocol)
{
	static uint8_t buf[DUMP_BYTES];
	struct net_bytes bytes;
	struct net_row row;
	int state;

	for (;;) {
		ssize_t n = recv(diag->dump_fd, buf, sizeof(buf), 0);
		const uint8_t *at = buf;
		size_t left = n > 0 ? (size_t)n : 0;
		enum nldiag_next got = NLDIAG_SKIP;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		while (left >= sizeof(struct nlmsghdr)) {
			got = nldiag_next(&at, &left, &row, &state, &bytes);
			if (got == NLDIAG_DONE || got == NLDIAG_BAD)
				return got == NLDIAG_DONE;
			if (got == NLDIAG_ROW)
				take(next, known, &row, protocol, state);
		}
	}
}

bool nldiag_dump(struct nldiag *diag, struct net_table *next, const struct net_table *known)
{
	static const uint8_t families[FAMILIES] = {AF_INET, AF_INET6};
	static const uint8_t protocols[] = {NET_TCP, NET_UDP};
	bool any = false;

	/* A family the kernel has no module for is refused alone. */
	for (size_t i = 0; i < FAMILIES && diag->dump_fd >= 0; i++)
		for (size_t j = 0; j < sizeof(protocols); j++)
			if (ask(diag, families[i], protocols[j]))
				any |= dump(diag, next, known, protocols[j]);
	return any;
}

void nldiag_ends(struct nldiag *diag, nldiag_ended *ended, void *context)
{
	uint8_t buf[4096];
	struct net_bytes bytes;
	struct net_row row;
	int state;

	while (diag->ends_fd >= 0) {
		ssize_t n = recv(diag->ends_fd, buf, sizeof(buf), MSG_DONTWAIT);
		const uint8_t *at = buf;
		size_t left = n > 0 ? (size_t)n : 0;

		/* ENOBUFS: ends were lost; the next poll misses those sockets and says so. */
		if (n < 0 && (errno == EINTR || errno == ENOBUFS))
			continue;
		if (n <= 0)
			return;
		if (nldiag_next(&at, &left, &row, &state, &bytes) == NLDIAG_ROW)
			ended(context, row.key, &bytes);
	}
}
