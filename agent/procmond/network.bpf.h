/*
 * TCP connections: who asked for one, who took one, with both ports, IPv4 and IPv6. A connect is
 * joined by its socket: the process is right at SYN_SENT, the ports at ESTABLISHED. It guarantees
 * one connect event per attempt, also for failed ones. It must never name a process from softirq
 * context, where the current task is whoever happened to be interrupted.
 */
#ifndef PROCMOND_NETWORK_BPF_H
#define PROCMOND_NETWORK_BPF_H

#define AF_INET 2
#define AF_INET6 10
#define ECANCELED 125

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PM_PENDING_MAX);
	__type(key, __u64);
	__type(value, struct pm_net);
} pending SEC(".maps");

/* A closing socket has lost its ports; zeroes then keep what was cached before. */
static __always_inline void fill_tuple(struct pm_net *event, const struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u16 lport = BPF_CORE_READ(sk, __sk_common.skc_num);
	__u16 rport = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));

	if (!lport)
		lport = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	event->family = family;
	if (lport)
		event->lport = lport;
	if (rport)
		event->rport = rport;
	event->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (family == AF_INET) {
		bpf_core_read(event->laddr, 4, &sk->__sk_common.skc_rcv_saddr);
		bpf_core_read(event->raddr, 4, &sk->__sk_common.skc_daddr);
	} else {
		bpf_core_read(event->laddr, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(event->raddr, 16, &sk->__sk_common.skc_v6_daddr);
	}
}

static __always_inline bool is_tcp(const struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP &&
	       (family == AF_INET || family == AF_INET6);
}

static __always_inline void begin_connect(const struct sock *sk, __u64 key)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pm_net event = {};

	if (!in_scope(task))
		return;
	fill_event(&event.head, FRAME_KIND_CONNECT, task);
	fill_tuple(&event, sk);
	if (bpf_map_update_elem(&pending, &key, &event, BPF_ANY))
		count_lost();
}

static __always_inline void end_connect(const struct sock *sk, __u64 key, int new_state)
{
	struct pm_net *cached = bpf_map_lookup_elem(&pending, &key);
	struct pm_net event;

	if (!cached)
		return;
	__builtin_memcpy(&event, cached, sizeof(event));
	bpf_map_delete_elem(&pending, &key);
	fill_tuple(&event, sk);
	if (new_state != TCP_ESTABLISHED) {
		int error = BPF_CORE_READ(sk, sk_err);

		/* Closed by its owner, or refused by the local stack: the socket holds no reason. */
		event.result = error ? -error : -ECANCELED;
	}
	flag_traced(&event.head);
	submit(&event.head, sizeof(event));
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_sock_state, const struct sock *sk, const int old_state, const int new_state)
{
	__u64 key = (__u64)sk;

	if (new_state == TCP_SYN_SENT) {
		if (is_tcp(sk))
			begin_connect(sk, key);
	} else if (new_state == TCP_ESTABLISHED || new_state == TCP_CLOSE) {
		end_connect(sk, key, new_state);
	}
	return 0;
}

/* At the return of accept the descriptor leads to the socket, and current is who took it. */
static __always_inline void send_accept(struct task_struct *task, __u32 fd)
{
	struct pm_net event = {};
	struct file *file;
	struct socket *socket;
	struct sock *sk;

	if (!in_scope(task))
		return;
	file = file_of(task, fd);
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	if (!sk || !is_tcp(sk))
		return;
	fill_event(&event.head, FRAME_KIND_ACCEPT, task);
	fill_tuple(&event, sk);
	flag_traced(&event.head);
	submit(&event.head, sizeof(event));
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_network_call, struct pt_regs *regs, long ret)
{
	if (ret >= 0)
		send_accept(bpf_get_current_task_btf(), ret);
	return 0;
}

#endif
