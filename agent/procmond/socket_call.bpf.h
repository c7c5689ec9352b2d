/*
 * Sockets by the calls made on them: created, bound, listening, connected without TCP, accepted, and
 * the first datagram to each destination. It guarantees that the process is the one that made the
 * call and that addresses are the socket's own wherever the socket has them. It must never take a
 * name from user memory when the kernel has it: another thread may have changed it since.
 */
#ifndef PROCMOND_SOCKET_CALL_BPF_H
#define PROCMOND_SOCKET_CALL_BPF_H

#define IPPROTO_MPTCP 262
/* What comes before sun_path in a unix address, and how long that is. */
#define UNIX_PATH_AT 2
#define UNIX_PATH_MAX 108
#define EISCONN 106
#define EALREADY 114
#define EINPROGRESS 115
#define DNS_PORT 53
#define MDNS_PORT 5353
#define LLMNR_PORT 5355
/* The largest array that sendmmsg and recvmmsg take. */
#define MESSAGES_MAX 1024

/* A socket and a number that no later socket at the same address has. */
struct socket_ref {
	struct sock *sk;
	__u64 ino;
};

/* One message as the call named it: where it goes or came from, and where its bytes lie. */
struct message {
	__u64 name;
	__u64 buffer; /* its bytes, or a vector when `vectors` is not 0 */
	__u64 vectors;
	__u64 bytes;
	__u64 fd; /* of a connect */
};

/* Where a message goes or came from: an IPv4 address of an IPv6 socket is mapped, as it says it. */
struct remote {
	__u8 addr[16];
	__u32 port;
	__u32 family;
};

struct told_key {
	struct socket_ref socket;
	struct remote remote;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PM_TOLD_MAX);
	__type(key, struct told_key);
	__type(value, __u8);
} told SEC(".maps");

/* Through their argument: CO-RE would try to relocate the fields of our own struct as well. */
static __always_inline __u64 ino_of(const struct socket *socket)
{
	const struct inode *inode = (void *)socket + bpf_core_field_offset(struct socket_alloc, vfs_inode);

	return BPF_CORE_READ(inode, i_ino);
}

static __always_inline __u16 family_of(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_family);
}

static __always_inline __u16 protocol_of(const struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_protocol);
}

static __always_inline void fill_socket(struct pm_net *event, __u16 kind, const struct sock *sk,
					long result)
{
	fill_event(&event->head, kind, bpf_get_current_task_btf());
	flag_traced(&event->head);
	fill_tuple(event, sk);
	event->result = result;
}

/* The name a unix socket is bound to, with its leading NUL when it is abstract. */
static __always_inline __u32 unix_name(const struct sock *sk, __u8 *path)
{
	struct unix_address *address = BPF_CORE_READ((struct unix_sock *)sk, addr);
	__u32 bytes = BPF_CORE_READ(address, len) - UNIX_PATH_AT;
	void *name = (void *)address + bpf_core_field_offset(struct unix_address, name) +
		     UNIX_PATH_AT;

	if (!address || bytes > UNIX_PATH_MAX)
		return 0;
	return bpf_probe_read_kernel(path, bytes, name) ? 0 : bytes;
}

static __always_inline __u32 unix_name_passed(__u64 name, __u32 name_bytes, __u8 *path)
{
	__u32 bytes = name_bytes - UNIX_PATH_AT;

	if (!name || bytes > UNIX_PATH_MAX)
		return 0;
	return bpf_probe_read_user(path, bytes, (void *)(name + UNIX_PATH_AT)) ? 0 : bytes;
}

/* `passed` is what the call named, used where no peer says better. */
static __noinline int send_unix(struct sock *sk, __u32 kind, long result, struct message *passed)
{
	struct pm_unix event = {};
	struct sock *named = sk;

	fill_socket(&event.net, kind, sk, result);
	if (kind == FRAME_KIND_CONNECT)
		named = result ? NULL : BPF_CORE_READ((struct unix_sock *)sk, peer);
	if (named)
		event.net.path_bytes = unix_name(named, event.path);
	if (!event.net.path_bytes && kind == FRAME_KIND_CONNECT)
		event.net.path_bytes = unix_name_passed(passed->name, passed->bytes, event.path);
	submit(&event.net.head, sizeof(event));
	return 0;
}

/* An address as passed to a call; false when it is none. */
static __always_inline bool read_remote(struct remote *remote, __u64 name, __u16 socket_family)
{
	struct sockaddr_in6 passed = {};
	struct sockaddr_in *four = (struct sockaddr_in *)&passed;
	__u16 family;

	if (!name || bpf_probe_read_user(&passed, sizeof(*four), (void *)name))
		return false;
	family = passed.sin6_family;
	/* The kernel takes an unspecified family on an IPv4 socket for IPv4. */
	if (family == AF_UNSPEC && socket_family == AF_INET)
		family = AF_INET;
	if (!is_inet(family))
		return false;
	remote->port = bpf_ntohs(passed.sin6_port);
	remote->family = socket_family;
	if (family == AF_INET6) {
		if (bpf_probe_read_user(&passed, sizeof(passed), (void *)name))
			return false;
		__builtin_memcpy(remote->addr, &passed.sin6_addr, 16);
	} else if (socket_family == AF_INET) {
		__builtin_memcpy(remote->addr, &four->sin_addr, 4);
	} else {
		__builtin_memset(remote->addr + 10, 0xff, 2);
		__builtin_memcpy(remote->addr + 12, &four->sin_addr, 4);
	}
	return true;
}

/* The far end of a connected socket; port 0 = it is not connected, or has no ports. */
static __always_inline void connected_remote(struct remote *remote, const struct sock *sk,
					     __u16 family)
{
	remote->port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	remote->family = family;
	if (family == AF_INET)
		bpf_core_read(remote->addr, 4, &sk->__sk_common.skc_daddr);
	else
		bpf_core_read(remote->addr, 16, &sk->__sk_common.skc_v6_daddr);
}

static __always_inline void fill_remote(struct pm_net *event, const struct remote *remote)
{
	__builtin_memcpy(event->raddr, remote->addr, sizeof(event->raddr));
	event->rport = event->socket_type == SOCK_RAW ? 0 : remote->port;
}

/* True the first time a socket meets this destination. */
static __always_inline bool is_first(const struct told_key *key)
{
	__u8 one = 1;

	/* A look-up first: it is what a burst costs, and it keeps the row young. */
	if (bpf_map_lookup_elem(&told, key))
		return false;
	return !bpf_map_update_elem(&told, key, &one, BPF_NOEXIST);
}

static __always_inline bool is_dns_port(__u32 port)
{
	return port == DNS_PORT || port == MDNS_PORT || port == LLMNR_PORT;
}

/* Connects that pass no TCP states. */
static __noinline int send_connect(struct socket_ref *ref, long result, struct message *passed)
{
	struct told_key key = {.socket = *ref};
	struct pm_net event = {};
	__u16 family = 0;

	bpf_probe_read_user(&family, sizeof(family), (void *)passed->name);
	/* That only takes a connection away. */
	if (family == AF_UNSPEC)
		return 0;
	fill_socket(&event, FRAME_KIND_CONNECT, ref->sk, result);
	if (!result) {
		connected_remote(&key.remote, ref->sk, event.family);
		/* What is sent on it from here on needs no event of its own. */
		is_first(&key);
		if (event.protocol == IPPROTO_UDP && is_dns_port(key.remote.port))
			keep_dns_descriptor(passed->fd);
	} else if (read_remote(&key.remote, passed->name, event.family)) {
		fill_remote(&event, &key.remote);
	}
	if (!is_shed(FRAME_SHED_NETWORK))
		submit(&event.head, sizeof(event));
	return 0;
}

/* A connect that never reached a state: no route, no address, forbidden. */
static __always_inline bool is_refused_here(__u64 key, long result)
{
	if (!result || result == -EINPROGRESS || result == -EALREADY || result == -EISCONN)
		return false;
	return bpf_map_delete_elem(&failed, &key) && !bpf_map_lookup_elem(&pending, &key);
}

/* A TCP connection that found no room among the pending ones, as it stands when the call returns. */
static __noinline int send_unkept(struct sock *sk, long result)
{
	struct owner owner = {};
	struct pm_net *event = &owner.event.net;
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	if (state == TCP_SYN_SENT)
		result = -EINPROGRESS;
	else if (state != TCP_CLOSE)
		result = 0;
	fill_socket(event, FRAME_KIND_CONNECT, sk, result);
	if (!is_shed(FRAME_SHED_NETWORK))
		submit(&event->head, sizeof(*event));
	if (result)
		return 0;
	keep_owner(&owner, (__u64)sk);
	/* It may have ended before it was kept. */
	if (BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE)
		send_close(sk, (__u64)sk);
	return 0;
}

/* One that failed has lost its ports: it is told like a refusal, as the call named it. */
static __always_inline bool is_unkept(const struct sock *sk, long result)
{
	__u64 key = (__u64)sk;

	return !bpf_map_delete_elem(&unkept, &key) &&
	       (!result || result == -EINPROGRESS ||
		BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_CLOSE);
}

static __always_inline void on_connect(struct socket_ref *ref, struct pt_regs *regs, long result)
{
	struct message passed = {.name = PT_REGS_PARM2_SYSCALL(regs),
				 .bytes = (__u32)PT_REGS_PARM3_SYSCALL(regs),
				 .fd = PT_REGS_PARM1_SYSCALL(regs)};
	__u16 family = family_of(ref->sk);
	__u16 protocol = protocol_of(ref->sk);

	/* TCP is told by its states, and so is the first path of a multipath one. */
	if (is_inet(family) && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP)) {
		if (protocol == IPPROTO_TCP && is_unkept(ref->sk, result))
			send_unkept(ref->sk, result);
		else if (protocol == IPPROTO_TCP && is_refused_here((__u64)ref->sk, result))
			send_connect(ref, result, &passed);
		return;
	}
	if (family == AF_UNIX && !is_shed(FRAME_SHED_NETWORK))
		send_unix(ref->sk, FRAME_KIND_CONNECT, result, &passed);
	else if (is_inet(family))
		send_connect(ref, result, &passed);
}

/* At the return of accept the descriptor leads to the socket, and current is who took it. */
static __noinline int send_accept(struct sock *sk)
{
	struct owner owner = {};
	struct pm_net *event = &owner.event.net;

	fill_socket(event, FRAME_KIND_ACCEPT, sk, 0);
	if (!is_shed(FRAME_SHED_NETWORK))
		submit(&event->head, sizeof(*event));
	if (!is_tcp(sk))
		return 0;
	keep_owner(&owner, (__u64)sk);
	/* Its end may have come before anybody accepted it. */
	if (BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE)
		send_close(sk, (__u64)sk);
	return 0;
}

static __noinline int send_made(struct sock *sk, __u32 kind, long result)
{
	struct message none = {};
	struct pm_net event = {};
	__u16 family = family_of(sk);

	/* Other families have no address a frame could hold: they are told when they are made. */
	if (kind != FRAME_KIND_SOCKET && family != AF_UNIX && !is_inet(family))
		return 0;
	if (is_shed(FRAME_SHED_NETWORK_DETAIL))
		return 0;
	if (kind != FRAME_KIND_SOCKET && family == AF_UNIX)
		return send_unix(sk, kind, result, &none);
	fill_socket(&event, kind, sk, result);
	submit(&event.head, sizeof(event));
	return 0;
}

static __always_inline void on_accept(struct sock *sk)
{
	struct message none = {};

	if (family_of(sk) != AF_UNIX)
		send_accept(sk);
	else if (!is_shed(FRAME_SHED_NETWORK))
		send_unix(sk, FRAME_KIND_ACCEPT, 0, &none);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_network_call, struct pt_regs *regs, long ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	enum pm_call call = call_of(regs);
	bool makes = call == PM_CALL_SOCKET || call == PM_CALL_ACCEPT || call == PM_CALL_ACCEPT4;
	struct found_socket at = {};
	struct socket_ref ref;

	if ((ret < 0 && call != PM_CALL_CONNECT) || !in_scope(task))
		return 0;
	if (!find_socket(task, makes ? ret : PT_REGS_PARM1_SYSCALL(regs), &at))
		return 0;
	ref.sk = at.sk;
	ref.ino = ino_of(at.socket);
	if (call == PM_CALL_SOCKET)
		send_made(ref.sk, FRAME_KIND_SOCKET, ret);
	else if (call == PM_CALL_BIND)
		send_made(ref.sk, FRAME_KIND_BIND, ret);
	else if (call == PM_CALL_LISTEN)
		send_made(ref.sk, FRAME_KIND_LISTEN, ret);
	else if (call == PM_CALL_CONNECT)
		on_connect(&ref, regs, ret);
	else
		on_accept(ref.sk);
	return 0;
}

/* A message of sendmsg or recvmsg, or one row of the arrays of their plurals. */
static __always_inline bool read_message(struct message *message, __u64 at, __u64 bytes)
{
	struct user_msghdr passed;

	if (bpf_probe_read_user(&passed, sizeof(passed), (void *)at))
		return false;
	message->name = (__u64)passed.msg_name;
	message->buffer = (__u64)passed.msg_iov;
	message->vectors = passed.msg_iovlen;
	message->bytes = bytes;
	return true;
}

static __noinline int send_datagram(struct told_key *key)
{
	struct pm_net event = {};

	if (is_shed(FRAME_SHED_NETWORK_DETAIL))
		return 0;
	fill_socket(&event, FRAME_KIND_DATAGRAM, key->socket.sk, 0);
	fill_remote(&event, &key->remote);
	submit(&event.head, sizeof(event));
	return 0;
}

#endif
