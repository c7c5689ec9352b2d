/*
 * TCP connections by the states of their sockets: who asked for one, whether it came about, and what
 * it carried when it ended, IPv4 and IPv6. A connect is joined by its socket: the process is right at
 * SYN_SENT, the ports at ESTABLISHED. It guarantees one connect event per attempt, also for failed
 * ones, and one close event per connection of a process in scope, told of who connected or accepted.
 * It must never name a process from softirq context, where the current task is whoever happened to be
 * interrupted, and it keeps events on the stack there: a scratch row may be in use below it. A user
 * with thousands of connections that hang is told of by the end of the call instead, see socket_call.
 */
#ifndef PROCMOND_NETWORK_BPF_H
#define PROCMOND_NETWORK_BPF_H

#define AF_UNSPEC 0
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define ECANCELED 125

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PM_PENDING_MAX);
	__type(key, __u64);
	__type(value, struct pm_net);
} pending SEC(".maps");

/* How many of them each user has, each counted where its number says. */
__u32 pending_of[PM_PENDING_USERS] SEC(PM_OWN_NOTES);

/* Sockets that found no room among them: the call that connects them tells what it sees at its end. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PM_UNKEPT_MAX);
	__type(key, __u64);
	__type(value, __u8);
} unkept SEC(".maps");

/* Who connected or accepted, with what is to be told at the end. */
struct owner {
	struct pm_close event;
	__u64 slots;
};

/* Not an LRU table: that would forget the longest connections, and without a number. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PM_OWNERS_MAX);
	__type(key, __u64);
	__type(value, struct owner);
} owners SEC(".maps");

/* Sockets whose failed connect was told by their state: the call that fails with it has nothing to add. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PM_FAILED_MAX);
	__type(key, __u64);
	__type(value, __u8);
} failed SEC(".maps");

static __always_inline bool is_inet(__u16 family)
{
	return family == AF_INET || family == AF_INET6;
}

/* A closing socket has lost its ports; zeroes then keep what was cached before. */
static __always_inline void fill_tuple(struct pm_net *event, const struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u16 lport, rport;

	event->family = family;
	event->protocol = BPF_CORE_READ(sk, sk_protocol);
	event->socket_type = BPF_CORE_READ(sk, sk_type);
	event->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (!is_inet(family))
		return;
	lport = BPF_CORE_READ(sk, __sk_common.skc_num);
	rport = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (!lport)
		lport = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	/* A raw socket keeps its protocol where others have the port. */
	if (lport && event->socket_type != SOCK_RAW)
		event->lport = lport;
	if (rport)
		event->rport = rport;
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
	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP &&
	       is_inet(BPF_CORE_READ(sk, __sk_common.skc_family));
}

static __always_inline __u32 *pending_count(__u32 uid)
{
	return &pending_of[uid & (PM_PENDING_USERS - 1)];
}

/* False when somebody else took it away before. */
static __always_inline bool forget_pending(__u64 key, __u32 uid)
{
	if (bpf_map_delete_elem(&pending, &key))
		return false;
	__sync_fetch_and_add(pending_count(uid), -1);
	return true;
}

static __always_inline bool keep_pending(__u64 key, const struct pm_net *event)
{
	__u32 *count = pending_count(event->head.uid);

	if (__sync_fetch_and_add(count, 1) < PM_PENDING_USER_MAX &&
	    !bpf_map_update_elem(&pending, &key, event, BPF_NOEXIST))
		return true;
	__sync_fetch_and_add(count, -1);
	return false;
}

static __always_inline void begin_connect(const struct sock *sk, __u64 key)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pm_net event = {};
	__u8 one = 1;

	if (!in_scope(task))
		return;
	fill_event(&event.head, FRAME_KIND_CONNECT, task);
	fill_tuple(&event, sk);
	if (!keep_pending(key, &event) && bpf_map_update_elem(&unkept, &key, &one, BPF_ANY))
		count_lost();
}

/* The slots are kept, because the process may be gone from the traced table when the end comes. */
static __always_inline void keep_owner(struct owner *owner, __u64 key)
{
	owner->slots = traced_slots(owner->event.net.head.tgid, owner->event.net.head.start_ticks);
	if (bpf_map_update_elem(&owners, &key, owner, BPF_ANY))
		count_lost();
}

/*
 * The kernel counts the SYN and FIN of a side among the bytes acknowledged and received: bytes_sent
 * counts data only, and SOCK_DONE says whether the FIN that took one number came in.
 */
static __always_inline void fill_bytes(struct pm_close *event, const struct sock *sk)
{
	const struct tcp_sock *tcp = (const struct tcp_sock *)sk;
	__u64 received = BPF_CORE_READ(tcp, bytes_received);
	unsigned long done = 1ul << bpf_core_enum_value(enum sock_flags, SOCK_DONE);

	event->bytes_sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
	if (received && BPF_CORE_READ(sk, __sk_common.skc_flags) & done)
		received--;
	event->bytes_received = received;
}

static __noinline int send_close(const struct sock *sk, __u64 key)
{
	struct owner *kept = bpf_map_lookup_elem(&owners, &key);
	struct pm_close event;
	__u64 slots;

	if (!kept)
		return 0;
	__builtin_memcpy(&event, &kept->event, sizeof(event));
	slots = kept->slots & active_slots;
	/* Whoever takes the row away tells of the end: accept and the state change may both try. */
	if (bpf_map_delete_elem(&owners, &key) || is_shed(FRAME_SHED_NETWORK))
		return 0;
	event.net.head.kind = FRAME_KIND_CLOSE;
	event.net.head.flags = slots ? FRAME_FLAG_TRACED : 0;
	flag_traced(&event.net.head);
	event.net.result = -BPF_CORE_READ(sk, sk_err);
	fill_bytes(&event, sk);
	submit(&event.net.head, sizeof(event));
	return 0;
}

static __noinline int end_connect(const struct sock *sk, __u64 key, int new_state)
{
	struct pm_net *cached = bpf_map_lookup_elem(&pending, &key);
	struct owner owner = {};
	struct pm_net *event = &owner.event.net;
	__u8 one = 1;

	if (!cached)
		return 0;
	__builtin_memcpy(event, cached, sizeof(*event));
	if (!forget_pending(key, event->head.uid))
		return 0;
	fill_tuple(event, sk);
	if (new_state != TCP_ESTABLISHED) {
		int error = BPF_CORE_READ(sk, sk_err);

		/* Closed by its owner, or refused by the local stack: the socket holds no reason. */
		event->result = error ? -error : -ECANCELED;
		bpf_map_update_elem(&failed, &key, &one, BPF_ANY);
	}
	if (!is_shed(FRAME_SHED_NETWORK)) {
		flag_traced(&event->head);
		submit(&event->head, sizeof(*event));
	}
	if (new_state == TCP_ESTABLISHED)
		keep_owner(&owner, key);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_sock_state, const struct sock *sk, const int old_state, const int new_state)
{
	__u64 key = (__u64)sk;

	if (new_state == TCP_SYN_SENT) {
		if (is_tcp(sk))
			begin_connect(sk, key);
	} else if (new_state == TCP_ESTABLISHED) {
		end_connect(sk, key, new_state);
	} else if (new_state == TCP_CLOSE) {
		end_connect(sk, key, new_state);
		send_close(sk, key);
	}
	return 0;
}

#endif
