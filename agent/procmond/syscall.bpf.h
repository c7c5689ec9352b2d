/*
 * The one program on the exit of system calls. It is attached always, so nothing new appears on the
 * machine when a trace starts. It guarantees that a call nobody looks at costs one look-up, and that
 * a handler the kernel refused costs only itself: the jump to it then simply returns. It must never
 * interpret the number of a 32-bit call as that of another one: those have a column of their own.
 */
#ifndef PROCMOND_SYSCALL_BPF_H
#define PROCMOND_SYSCALL_BPF_H

#define TS_COMPAT 0x0002
#define TIF_32BIT_MASK (1ul << 22)
#define X32_BIT 0x40000000u
#define X32_CALLS_MAX 1024

/* Filled before load, so the verifier knows it and the kernel reads it without a map. */
const volatile struct pm_call_row call_rows[PM_CALLS_MAX];

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, PM_HANDLERS);
	__type(key, __u32);
	__type(value, __u32);
} handlers SEC(".maps");

#if defined(__TARGET_ARCH_x86)
static __always_inline __u64 call_number(struct pt_regs *regs)
{
	return regs->orig_ax;
}

/*
 * An x32 call comes in by the 64-bit entry with its own numbers. Not the bit alone: a call that a
 * debugger or a filter took back has the number -1.
 */
static __always_inline bool is_compat(struct task_struct *task, struct pt_regs *regs)
{
	return task->thread_info.status & TS_COMPAT ||
	       (__u32)call_number(regs) - X32_BIT < X32_CALLS_MAX;
}

static __always_inline __u64 compat_parm1(struct pt_regs *regs)
{
	return (__u32)regs->bx;
}

static __always_inline __u64 compat_parm2(struct pt_regs *regs)
{
	return (__u32)regs->cx;
}
#elif defined(__TARGET_ARCH_arm64)
static __always_inline __u64 call_number(struct pt_regs *regs)
{
	return (__u32)regs->syscallno;
}

static __always_inline bool is_compat(struct task_struct *task, struct pt_regs *regs)
{
	return task->thread_info.flags & TIF_32BIT_MASK;
}

/* Whose 32-bit calls have no rows. */
static __always_inline __u64 compat_parm1(struct pt_regs *regs)
{
	return 0;
}

static __always_inline __u64 compat_parm2(struct pt_regs *regs)
{
	return 0;
}
#else
#error "system call numbers are known for x86_64 and arm64 only: build with make proc-only"
#endif

static __always_inline enum pm_call call_of(struct pt_regs *regs)
{
	__u64 number = call_number(regs);

	return number < PM_CALLS_MAX ? call_rows[number].call : PM_CALL_NONE;
}

static __always_inline enum pm_call compat_call_of(struct pt_regs *regs)
{
	__u64 number = call_number(regs);

	return number < PM_CALLS_MAX ? call_rows[number].compat_call : PM_CALL_NONE;
}

/*
 * Descriptors that were connected to a DNS port, each where its hash says. Not a map: every read and
 * write of the machine asks, and one load is a tenth of a look-up. A newer one in the same place
 * displaces the older, whose next read or write is then not looked at.
 */
volatile __u64 dns_descriptors[PM_DNS_DESCRIPTORS] SEC(PM_OWN_NOTES);

static __always_inline __u64 descriptor_key(__u32 fd)
{
	return (bpf_get_current_pid_tgid() & 0xffffffff00000000ull) | fd;
}

static __always_inline __u32 descriptor_place(__u64 key)
{
	/* The golden ratio in 64 bits: neighbours in pid or descriptor land far apart. */
	return (key * 0x9e3779b97f4a7c15ull) >> 32 & (PM_DNS_DESCRIPTORS - 1);
}

static __always_inline void keep_dns_descriptor(__u32 fd)
{
	__u64 key = descriptor_key(fd);

	dns_descriptors[descriptor_place(key)] = key;
}

/* A process that passes the descriptor on, or duplicates it, is not found by it. */
static __always_inline bool is_dns_descriptor(__u32 fd)
{
	__u64 key = descriptor_key(fd);

	return dns_descriptors[descriptor_place(key)] == key;
}

/* The socket behind a descriptor. */
struct found_socket {
	struct socket *socket;
	struct sock *sk;
	__u64 type;
};

/* Found once at the exit of a send or receive, read by the program that this leads to. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct found_socket);
} found SEC(".maps");

/* As far as its pointer to the socket, of every kernel that has these programs. */
#define SOCKET_HEAD_BYTES 32

/*
 * False when the descriptor is no socket: a socket names the file it belongs to. Most sends and
 * receives of a machine are of streams and must leave after the fewest reads: plain loads as far as
 * the verifier knows the types, because each read by helper costs as much as all of them.
 */
static __always_inline bool find_socket(struct task_struct *task, __u32 fd, struct found_socket *into)
{
	struct fdtable *table = task->files->fdt;
	__u8 head[SOCKET_HEAD_BYTES] __attribute__((aligned(8)));
	struct socket *socket = NULL;
	struct file *file = NULL;

	if (fd >= table->max_fds)
		return false;
	bpf_probe_read_kernel(&file, sizeof(file), (void *)table->fd + fd * sizeof(file));
	bpf_core_read(&socket, sizeof(socket), &file->private_data);
	if (!socket || bpf_probe_read_kernel(head, sizeof(head), socket) ||
	    *(struct file **)(head + bpf_core_field_offset(struct socket, file)) != file)
		return false;
	into->socket = socket;
	into->sk = *(struct sock **)(head + bpf_core_field_offset(struct socket, sk));
	into->type = *(__s16 *)(head + bpf_core_field_offset(struct socket, type));
	return into->sk;
}

/* False for whatever sends no datagrams; else the socket is in `found`. */
static __always_inline bool find_datagram_socket(struct task_struct *task, __u32 fd)
{
	__u32 zero = 0;
	struct found_socket *row = bpf_map_lookup_elem(&found, &zero);

	return row && find_socket(task, fd, row) &&
	       (row->type == SOCK_DGRAM || row->type == SOCK_RAW);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	__u64 number = call_number(regs);
	struct task_struct *task;
	__u32 handler;

	/* That a traced process makes them is itself told, once. */
	if (active_slots && is_compat(bpf_get_current_task_btf(), regs))
		bpf_tail_call(ctx, &handlers, PM_HANDLER_PROCESS);
	if (number >= PM_CALLS_MAX)
		return 0;
	handler = call_rows[number].handler;
	if (handler == PM_HANDLER_NONE)
		return 0;
	if ((handler == PM_HANDLER_FILE || handler == PM_HANDLER_FILE_NAME) && !(file_slots | watch_on))
		return 0;
	task = bpf_get_current_task_btf();
	if (handler >= PM_HANDLER_SEND && handler <= PM_HANDLER_READ) {
		__u32 fd = PT_REGS_PARM1_SYSCALL(regs);
		bool plain = handler == PM_HANDLER_WRITE || handler == PM_HANDLER_READ;

		if (ret < 0 || (plain && !is_dns_descriptor(fd)) || !find_datagram_socket(task, fd))
			return 0;
	}
	if (is_compat(task, regs) && handler != PM_HANDLER_PROCESS)
		return 0;
	bpf_tail_call(ctx, &handlers, handler);
	return 0;
}

#endif
