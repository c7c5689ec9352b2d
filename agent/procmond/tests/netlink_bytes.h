/*
 * Messages as the kernel lays them out, for the tests of the parsers. It guarantees exact lengths.
 * It must never be used outside of tests.
 */
#ifndef PROCMOND_TESTS_NETLINK_BYTES_H
#define PROCMOND_TESTS_NETLINK_BYTES_H

#include <arpa/inet.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECTOR_BYTES (NLMSG_HDRLEN + sizeof(struct cn_msg) + sizeof(struct proc_event))
#define DIAG_BYTES (NLMSG_HDRLEN + sizeof(struct inet_diag_msg))
#define DIAG_INFO_BYTES (DIAG_BYTES + NLA_HDRLEN + sizeof(struct tcp_info))

/* A whole message of the process connector; returns its length. */
static inline size_t put_connector(uint8_t *out, uint32_t seq, const struct proc_event *event)
{
	struct nlmsghdr head = {.nlmsg_len = CONNECTOR_BYTES, .nlmsg_type = NLMSG_DONE};
	struct cn_msg connector = {.id = {CN_IDX_PROC, CN_VAL_PROC}, .seq = seq,
				   .len = sizeof(*event)};

	memcpy(out, &head, sizeof(head));
	memcpy(out + NLMSG_HDRLEN, &connector, sizeof(connector));
	memcpy(out + NLMSG_HDRLEN + sizeof(connector), event, sizeof(*event));
	return CONNECTOR_BYTES;
}

/* A TCP connection 127.0.0.1:1000 to 127.0.0.2:2000 as sock_diag tells it, with its statistics. */
static inline size_t put_diag(uint8_t *out, uint32_t inode)
{
	struct nlmsghdr head = {.nlmsg_len = DIAG_INFO_BYTES, .nlmsg_type = SOCK_DIAG_BY_FAMILY};
	struct nlattr attribute = {NLA_HDRLEN + sizeof(struct tcp_info), INET_DIAG_INFO};
	struct inet_diag_msg body = {.idiag_family = AF_INET, .idiag_state = 1, .idiag_inode = inode};
	struct tcp_info info = {0};

	body.id.idiag_sport = htons(1000);
	body.id.idiag_dport = htons(2000);
	body.id.idiag_src[0] = htonl(0x7f000001);
	body.id.idiag_dst[0] = htonl(0x7f000002);
	body.id.idiag_cookie[0] = 7;
	body.id.idiag_cookie[1] = 1;
	info.tcpi_bytes_sent = 1500;
	info.tcpi_bytes_retrans = 500;
	info.tcpi_bytes_received = 77;
	memcpy(out, &head, sizeof(head));
	memcpy(out + NLMSG_HDRLEN, &body, sizeof(body));
	memcpy(out + DIAG_BYTES, &attribute, sizeof(attribute));
	memcpy(out + DIAG_BYTES + NLA_HDRLEN, &info, sizeof(info));
	return DIAG_INFO_BYTES;
}

#endif
