/*
 * Datagrams as they are sent and received: the first of a socket to each destination, and every DNS
 * message between a process and a DNS, mDNS or LLMNR port, by whatever call. It guarantees that the
 * process is the one that made the call, and that a message is told once: it is read where the call
 * ends, above the devices it crosses. It must never resolve or judge a name; it copies bytes. What it
 * cannot say: DNS over TCP, TLS or io_uring, and a buffer that another thread rewrote before the call
 * returned.
 */
#ifndef PROCMOND_DNS_BPF_H
#define PROCMOND_DNS_BPF_H

#define DNS_HEADER_BYTES 12
/* A message is one or two pieces in practice; more only hides the rest of it. */
#define VECTORS_MAX 8
#define MSG_PEEK 2

enum dns_direction { DNS_SENT = 0, DNS_RECEIVED = 1 };

/* One row is enough: all programs that use it run at the exit of a call, so never one inside another. Twice the room, because the verifier bounds where a piece begins and how long it is, not their sum. */
struct dns_room {
	struct pm_dns event;
	__u8 over[PM_DNS_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dns_room);
} dns_room SEC(".maps");

/* Where an unconnected socket asked last: a call may take the answer without its address. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PM_ASKED_MAX);
	__type(key, struct socket_ref);
	__type(value, struct remote);
} asked SEC(".maps");

static __always_inline __u32 copy_vectors(struct dns_room *room, const struct message *message,
					  __u64 wanted)
{
	__u32 at = 0;

	for (__u32 i = 0; i < VECTORS_MAX; i++) {
		struct iovec piece;
		__u64 bytes;

		if (i >= message->vectors || at >= PM_DNS_BYTES || at >= wanted ||
		    bpf_probe_read_user(&piece, sizeof(piece),
					(void *)(message->buffer + i * sizeof(piece))))
			break;
		bytes = piece.iov_len;
		if (bytes > wanted - at)
			bytes = wanted - at;
		if (bytes > PM_DNS_BYTES ||
		    bpf_probe_read_user(room->event.message + at, bytes, piece.iov_base))
			break;
		at += bytes;
	}
	return at;
}

static __noinline int send_dns(struct told_key *key, struct message *message,
			       enum dns_direction direction)
{
	__u32 zero = 0;
	struct dns_room *room = bpf_map_lookup_elem(&dns_room, &zero);
	__u64 bytes = message->bytes;
	struct pm_net *event;

	if (!room || is_shed(FRAME_SHED_NETWORK_DETAIL))
		return 0;
	event = &room->event.net;
	__builtin_memset(event, 0, sizeof(*event));
	fill_socket(event, FRAME_KIND_DNS, key->socket.sk, 0);
	fill_remote(event, &key->remote);
	event->direction = direction;
	if (bytes > PM_DNS_BYTES)
		bytes = PM_DNS_BYTES;
	if (message->vectors)
		bytes = copy_vectors(room, message, bytes);
	else if (bpf_probe_read_user(room->event.message, bytes, (void *)message->buffer))
		bytes = 0;
	if (bytes > PM_DNS_BYTES)
		bytes = PM_DNS_BYTES;
	event->message_bytes = bytes;
	submit(&event->head, sizeof(*event) + bytes);
	return 0;
}

/* A datagram socket and what of it every message of a call needs. */
struct endpoint {
	struct socket_ref socket;
	__u32 family;
	__u32 sends;
};

static __always_inline bool is_dns(const struct told_key *key, const struct message *message)
{
	return message->bytes >= DNS_HEADER_BYTES && is_dns_port(key->remote.port) &&
	       protocol_of(key->socket.sk) == IPPROTO_UDP;
}

static __noinline int on_sent(struct endpoint *end, struct message *message)
{
	struct told_key key = {.socket = end->socket};
	bool named = read_remote(&key.remote, message->name, end->family);

	if (!named)
		connected_remote(&key.remote, key.socket.sk, end->family);
	if (is_first(&key))
		send_datagram(&key);
	if (!is_dns(&key, message))
		return 0;
	if (named)
		bpf_map_update_elem(&asked, &key.socket, &key.remote, BPF_ANY);
	return send_dns(&key, message, DNS_SENT);
}

static __noinline int on_received(struct endpoint *end, struct message *message)
{
	struct told_key key = {.socket = end->socket};
	struct remote *known;

	if (!read_remote(&key.remote, message->name, end->family))
		connected_remote(&key.remote, key.socket.sk, end->family);
	if (!key.remote.port) {
		known = bpf_map_lookup_elem(&asked, &key.socket);
		if (!known)
			return 0;
		key.remote = *known;
	}
	if (!is_dns(&key, message))
		return 0;
	return send_dns(&key, message, DNS_RECEIVED);
}

/* The array of sendmmsg or recvmmsg. */
struct messages {
	struct endpoint end;
	__u64 at;
};

static long each_message(__u32 i, struct messages *all)
{
	__u64 at = all->at + i * sizeof(struct mmsghdr);
	struct message message = {};
	__u32 bytes = 0;

	bpf_probe_read_user(&bytes, sizeof(bytes), (void *)(at + sizeof(struct user_msghdr)));
	if (!read_message(&message, at, bytes))
		return 1;
	if (all->end.sends)
		on_sent(&all->end, &message);
	else
		on_received(&all->end, &message);
	return 0;
}

/* What on_sys_exit found; false when it is no internet socket, or its process is not in scope. */
static __always_inline bool open_endpoint(struct endpoint *end)
{
	__u32 zero = 0;
	struct found_socket *at = bpf_map_lookup_elem(&found, &zero);

	if (!at || !in_scope(bpf_get_current_task_btf()))
		return false;
	end->socket.sk = at->sk;
	end->socket.ino = ino_of(at->socket);
	end->family = family_of(at->sk);
	return is_inet(end->family);
}

static __always_inline void each_of_call(struct messages *all, struct pt_regs *regs, long ret)
{
	struct message message = {};
	enum pm_call call = call_of(regs);

	all->at = PT_REGS_PARM2_SYSCALL(regs);
	if (call == PM_CALL_SENDMMSG || call == PM_CALL_RECVMMSG) {
		bpf_loop(ret < MESSAGES_MAX ? ret : MESSAGES_MAX, each_message, all, 0);
		return;
	}
	if (call == PM_CALL_SENDMSG || call == PM_CALL_RECVMSG) {
		if (!read_message(&message, all->at, ret))
			return;
	} else {
		message.buffer = all->at;
		message.bytes = ret;
		message.name = PT_REGS_PARM5_SYSCALL(regs);
	}
	if (all->end.sends)
		on_sent(&all->end, &message);
	else
		on_received(&all->end, &message);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_send_call, struct pt_regs *regs, long ret)
{
	struct messages all = {.end.sends = 1};

	if (open_endpoint(&all.end))
		each_of_call(&all, regs, ret);
	return 0;
}

static __always_inline __u64 receive_flags(struct pt_regs *regs)
{
	return call_of(regs) == PM_CALL_RECVMSG ? PT_REGS_PARM3_SYSCALL(regs) :
						  PT_REGS_PARM4_SYSCALL(regs);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_receive_call, struct pt_regs *regs, long ret)
{
	struct messages all = {};

	/* One that only looked will take it later. */
	if (receive_flags(regs) & MSG_PEEK)
		return 0;
	if (open_endpoint(&all.end))
		each_of_call(&all, regs, ret);
	return 0;
}

/*
 * read and write of a connected DNS socket: Go's resolver does this. The way here is a look-up of the
 * descriptor, see is_dns_descriptor(); it may have become another file since.
 */
static __always_inline void plain_call(struct pt_regs *regs, long ret, __u32 sends)
{
	struct endpoint end = {.sends = sends};
	struct message message = {.bytes = ret};
	enum pm_call call = call_of(regs);

	if (!open_endpoint(&end))
		return;
	message.buffer = PT_REGS_PARM2_SYSCALL(regs);
	if (call == PM_CALL_READV || call == PM_CALL_WRITEV || call == PM_CALL_PREADV2 ||
	    call == PM_CALL_PWRITEV2)
		message.vectors = PT_REGS_PARM3_SYSCALL(regs);
	if (sends)
		on_sent(&end, &message);
	else
		on_received(&end, &message);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_write_call, struct pt_regs *regs, long ret)
{
	plain_call(regs, ret, 1);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_read_call, struct pt_regs *regs, long ret)
{
	plain_call(regs, ret, 0);
	return 0;
}

#endif
