/*
 * System calls by which a process changes what it is or reaches into another one: set*id, ptrace and
 * its kin, io_uring, and what could be turned against the collector. All at the exit of the call. It
 * guarantees that a change of ids is told only when they changed, that a debugger's loop is told once,
 * and that what the kernel refused to a user is told once, whoever of his processes tried. It must never look at what is read or written in the other process.
 */
#ifndef PROCMOND_PROCESS_CALL_BPF_H
#define PROCMOND_PROCESS_CALL_BPF_H

#define KERNEL_6_2 (6 << 16 | 2 << 8)
#define KERNEL_6_13 (6 << 16 | 13 << 8)

/* Known at load, so that a kernel without the function below never meets the call. */
extern int LINUX_KERNEL_VERSION __kconfig;
extern struct task_struct *bpf_task_from_pid(s32 pid) __ksym __weak;
extern struct task_struct *bpf_task_from_vpid(s32 vpid) __ksym __weak;
extern void bpf_task_release(struct task_struct *task) __ksym __weak;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PM_REPEAT_MAX);
	__type(key, struct pm_repeat_key);
	__type(value, struct pm_repeat);
} repeats SEC(".maps");

/* procmond and the agent, in the init pid namespace; 0 = not known. Written through the .bss. */
volatile __u32 own_tgids[PM_OWN_TGIDS];

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PM_OWN_OBJECTS_MAX);
	__type(key, __u64);
	__type(value, __u32);
} own_objects SEC(".maps");

static __always_inline bool is_own(__u32 tgid)
{
	return tgid && (tgid == own_tgids[0] || tgid == own_tgids[1]);
}

static __always_inline void send_set_id(struct task_struct *task, enum pm_call call)
{
	struct task_struct *leader = task->group_leader;
	struct pm_set_id event = {.call = call};
	struct pm_ids now = {}, *last;

	read_ids(&now, task);
	last = bpf_task_storage_get(&last_ids, leader, NULL, 0);
	if (last && last->uid == now.uid && last->gid == now.gid && last->euid == now.euid &&
	    last->egid == now.egid && last->suid == now.suid && last->sgid == now.sgid)
		return;
	event.old_unknown = !last;
	if (last) {
		event.old_uid = last->uid;
		event.old_gid = last->gid;
		event.old_euid = last->euid;
		*last = now;
	} else {
		remember_ids(leader);
	}
	if (!in_scope(task) || is_shed(FRAME_SHED_PROCESS_DETAIL))
		return;
	fill_event(&event.head, FRAME_KIND_SET_ID, task);
	flag_traced(&event.head);
	submit(&event.head, sizeof(event));
}

/* Names the process behind a task id as the caller sees it, or leaves it to user space. */
static __always_inline void find_target(struct task_struct *task, struct pm_act *event, __s32 pid)
{
	struct task_struct *target = NULL;
	bool in_init = task->thread_pid->level == 0;

	if (in_init)
		event->target_pid = pid;
	if (LINUX_KERNEL_VERSION >= KERNEL_6_13)
		target = bpf_task_from_vpid(pid);
	else if (LINUX_KERNEL_VERSION >= KERNEL_6_2 && in_init)
		target = bpf_task_from_pid(pid);
	if (!target)
		return;
	event->target_tgid = target->tgid;
	event->target_ticks = ticks_of(target);
	bpf_task_release(target);
}

/* Since 6.9 a pidfd keeps its process in the inode. The number is that of the init namespace. */
static __always_inline __s32 pid_of_pidfd(struct task_struct *task, __u32 fd)
{
	struct file *file = file_of(task, fd);
	struct pid *pid = BPF_CORE_READ(file, private_data);

	if (!pid)
		pid = BPF_CORE_READ(file, f_inode, i_private);
	return BPF_CORE_READ(pid, numbers[0].nr);
}

static __always_inline void find_init_target(struct pm_act *event, __s32 pid)
{
	struct task_struct *target = NULL;

	event->target_pid = pid;
	if (LINUX_KERNEL_VERSION >= KERNEL_6_2)
		target = bpf_task_from_pid(pid);
	if (!target)
		return;
	event->target_tgid = target->tgid;
	event->target_ticks = ticks_of(target);
	bpf_task_release(target);
}

/*
 * Whether this is the first of its kind, or the first since `quiet_ns` (0 = ever). The count is how
 * often it happened since it was last told.
 */
static __always_inline bool is_due(struct pm_act *event, __u32 request, __u64 quiet_ns)
{
	struct pm_repeat_key key = {.start_ticks = event->head.start_ticks,
				    .tgid = event->head.tgid,
				    .target = event->target_tgid ? event->target_tgid
								 : event->target_pid,
				    .request = request,
				    .call = event->call};
	struct pm_repeat row = {.told_at_ns = bpf_ktime_get_boot_ns()}, *known;

	/* Anybody can be refused, by as many children as he likes: of those his user is told once. */
	if (event->result < 0 && event->head.euid) {
		key.start_ticks = 0;
		key.tgid = event->head.uid;
		key.request = 0;
	}
	known = bpf_map_lookup_elem(&repeats, &key);
	event->count = 1;
	if (known) {
		__u32 count = __sync_fetch_and_add(&known->count, 1) + 1;

		if (!quiet_ns || row.told_at_ns - known->told_at_ns < quiet_ns)
			return false;
		event->count = count;
	}
	bpf_map_update_elem(&repeats, &key, &row, BPF_ANY);
	return true;
}

static __always_inline void send_tamper(struct task_struct *task, struct pm_act *event,
					enum pm_tamper_cause cause)
{
	event->cause = cause;
	event->head.kind = FRAME_KIND_TAMPER;
	if (!is_due(event, event->request, PM_REPEAT_QUIET_NS))
		return;
	/* What is done to ourselves is told whatever the scope. */
	if (cause == PM_TAMPER_CODE && !in_scope(task))
		return;
	flag_traced(&event->head);
	submit(&event->head, sizeof(*event));
}

enum ptrace_class { PTRACE_CLASS_NONE, PTRACE_CLASS_ATTACH, PTRACE_CLASS_READ, PTRACE_CLASS_WRITE };

/* Going on, stopping and waiting are left out: they follow an attachment, which is told. */
static __always_inline enum ptrace_class class_of(__u64 request)
{
	switch (request) {
	case 0: /* TRACEME */
	case 16: /* ATTACH */
	case 0x4206: /* SEIZE */
		return PTRACE_CLASS_ATTACH;
	case 1: case 2: case 3: /* PEEKTEXT, PEEKDATA, PEEKUSR */
	case 12: case 14: case 18: case 0x4204: /* GETREGS, GETFPREGS, GETFPXREGS, GETREGSET */
		return PTRACE_CLASS_READ;
	case 4: case 5: case 6: /* POKETEXT, POKEDATA, POKEUSR */
	case 13: case 15: case 19: case 0x4205: /* SETREGS, SETFPREGS, SETFPXREGS, SETREGSET */
		return PTRACE_CLASS_WRITE;
	default: return PTRACE_CLASS_NONE;
	}
}

/* A call as its handler needs it, of either width. */
struct process_call {
	enum pm_call call;
	long ret;
	__u64 first;
	__u64 second;
};

static __always_inline void send_ptrace(struct task_struct *task, const struct process_call *made)
{
	enum pm_call call = made->call;
	struct pm_act event = {.call = call, .result = made->ret};
	__u64 first = made->first;
	__u32 class = PTRACE_CLASS_READ;
	__u64 quiet_ns;

	event.request = call == PM_CALL_PTRACE ? first : 0;
	if (call == PM_CALL_PTRACE)
		class = class_of(first);
	else if (call == PM_CALL_PROCESS_VM_WRITEV)
		class = PTRACE_CLASS_WRITE;
	if (class == PTRACE_CLASS_NONE)
		return;
	fill_event(&event.head, FRAME_KIND_PTRACE, task);
	if (call == PM_CALL_PTRACE && !first)
		find_init_target(&event, event.head.tgid);
	else if (call == PM_CALL_PIDFD_GETFD)
		find_init_target(&event, pid_of_pidfd(task, first));
	else
		find_target(task, &event,
			    call == PM_CALL_PTRACE ? made->second : first);
	/* An attempt on us counts, also a refused one. */
	if (is_own(event.target_tgid) && !is_own(event.head.tgid)) {
		send_tamper(task, &event, PM_TAMPER_OWN_PROCESS);
		return;
	}
	/* A debugger reads and writes all day; that it attached anew is news. */
	quiet_ns = class == PTRACE_CLASS_ATTACH ? PM_REPEAT_QUIET_NS : 0;
	if (made->ret < 0 || !in_scope(task) || !is_due(&event, class, quiet_ns) ||
	    is_shed(FRAME_SHED_PROCESS_DETAIL))
		return;
	flag_traced(&event.head);
	submit(&event.head, sizeof(event));
}

#define COMMANDS_OF_CODE \
	(1ull << BPF_PROG_LOAD | 1ull << BPF_PROG_ATTACH | 1ull << BPF_PROG_DETACH | \
	 1ull << BPF_RAW_TRACEPOINT_OPEN | 1ull << BPF_LINK_CREATE | 1ull << BPF_LINK_UPDATE | \
	 1ull << BPF_LINK_DETACH)

static __always_inline __u32 object_kind_of(__u64 command)
{
	switch (command) {
	case BPF_PROG_GET_FD_BY_ID: return PM_OBJECT_PROGRAM;
	case BPF_MAP_GET_FD_BY_ID: return PM_OBJECT_MAP;
	case BPF_LINK_GET_FD_BY_ID: return PM_OBJECT_LINK;
	default: return 0;
	}
}

/*
 * Our objects are nowhere in the file system, so whoever wants to change one needs a descriptor of it
 * by its number first: that is what is looked for. Other work on maps passes by.
 */
static __always_inline void send_bpf(struct task_struct *task, const struct process_call *made)
{
	struct pm_act event = {.call = PM_CALL_BPF};
	__u64 command = made->first, key;
	__u32 kind = object_kind_of(command), id = 0;

	if (is_own(task->tgid))
		return;
	event.request = command;
	if (command < 64 && COMMANDS_OF_CODE & 1ull << command) {
		fill_event(&event.head, FRAME_KIND_TAMPER, task);
		send_tamper(task, &event, PM_TAMPER_CODE);
		return;
	}
	if (!kind || bpf_probe_read_user(&id, sizeof(id), (void *)made->second))
		return;
	key = (__u64)kind << 32 | id;
	if (!bpf_map_lookup_elem(&own_objects, &key))
		return;
	fill_event(&event.head, FRAME_KIND_TAMPER, task);
	event.target_pid = own_tgids[0];
	find_init_target(&event, own_tgids[0]);
	send_tamper(task, &event, PM_TAMPER_OWN_OBJECT);
}

/* Refused for lack of privilege is no act: anyone can ask. */
static __always_inline void send_module(struct task_struct *task, enum pm_call call, long ret)
{
	struct pm_act event = {.call = call, .result = ret};

	if (ret == -1 /* EPERM */)
		return;
	fill_event(&event.head, FRAME_KIND_TAMPER, task);
	send_tamper(task, &event, PM_TAMPER_CODE);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_process_call, struct pt_regs *regs, long ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct process_call made = {.ret = ret};

	if (is_compat(task, regs)) {
		if (active_slots)
			mark_partial(task, PM_PARTIAL_COMPAT32);
		made.call = compat_call_of(regs);
		made.first = compat_parm1(regs);
		made.second = compat_parm2(regs);
	} else {
		made.call = call_of(regs);
		made.first = PT_REGS_PARM1_CORE_SYSCALL(regs);
		made.second = PT_REGS_PARM2_CORE_SYSCALL(regs);
	}
	switch (made.call) {
	case PM_CALL_NONE:
		break;
	case PM_CALL_PTRACE:
	case PM_CALL_PROCESS_VM_READV:
	case PM_CALL_PROCESS_VM_WRITEV:
	case PM_CALL_PIDFD_GETFD:
		send_ptrace(task, &made);
		break;
	case PM_CALL_BPF:
		if (ret >= 0)
			send_bpf(task, &made);
		break;
	case PM_CALL_INIT_MODULE:
	case PM_CALL_FINIT_MODULE:
	case PM_CALL_DELETE_MODULE:
		send_module(task, made.call, ret);
		break;
	case PM_CALL_IO_URING_SETUP:
	/* Of a ring that another process made and passed on. */
	case PM_CALL_IO_URING_ENTER:
	case PM_CALL_IO_URING_REGISTER:
		if (ret >= 0)
			mark_partial(task, PM_PARTIAL_IO_URING);
		break;
	default:
		if (ret >= 0)
			send_set_id(task, made.call);
	}
	return 0;
}

#define SIGNAL_BIT(number) (1ull << (number))
/* Default-ignored ones and SIGCONT: SIGCHLD, SIGCONT, SIGURG, SIGWINCH. */
#define HARMLESS_SIGNALS (SIGNAL_BIT(17) | SIGNAL_BIT(18) | SIGNAL_BIT(23) | SIGNAL_BIT(28))
#define SENT_BY_KERNEL 1ul
#define SIGNAL_KILL 9
/* Comes for a descriptor that somebody aimed at us (F_SETOWN), and ends who does not await it. */
#define SIGNAL_IO 29
#define SIGNALS_MAX 64

SEC("tp_btf/signal_generate")
int BPF_PROG(on_signal, int sig, struct kernel_siginfo *info, struct task_struct *target, int group,
	     int result)
{
	struct task_struct *task;
	struct pm_act event = {.request = sig, .result = 0};
	bool by_kernel = (unsigned long)info == SENT_BY_KERNEL;

	if (!is_own(target->tgid) || sig < 1 || sig > SIGNALS_MAX ||
	    (sig < SIGNALS_MAX && HARMLESS_SIGNALS & SIGNAL_BIT(sig)))
		return 0;
	/* The si_code says nothing: the sender may have written it. A fault is its own process's act. */
	task = bpf_get_current_task_btf();
	if (is_own(task->tgid) || (by_kernel && sig != SIGNAL_KILL && sig != SIGNAL_IO))
		return 0;
	fill_event(&event.head, FRAME_KIND_TAMPER, task);
	event.target_tgid = target->tgid;
	event.target_ticks = ticks_of(target);
	send_tamper(task, &event, by_kernel && sig == SIGNAL_KILL ? PM_TAMPER_KERNEL_SIGNAL
								  : PM_TAMPER_OWN_PROCESS);
	return 0;
}

#endif
