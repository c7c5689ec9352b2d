/*
 * The one program on the exit of system calls. It is attached always, so nothing new appears on the
 * machine when a trace starts. It guarantees that a call nobody looks at costs one look-up, and that
 * a handler the kernel refused costs only itself: the jump to it then simply returns. It must never
 * interpret the number of a 32-bit call: those are other calls.
 */
#ifndef PROCMOND_SYSCALL_BPF_H
#define PROCMOND_SYSCALL_BPF_H

#define TS_COMPAT 0x0002
#define TIF_32BIT_MASK (1ul << 22)

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

static __always_inline bool is_compat(struct task_struct *task)
{
	return task->thread_info.status & TS_COMPAT;
}
#elif defined(__TARGET_ARCH_arm64)
static __always_inline __u64 call_number(struct pt_regs *regs)
{
	return (__u32)regs->syscallno;
}

static __always_inline bool is_compat(struct task_struct *task)
{
	return task->thread_info.flags & TIF_32BIT_MASK;
}
#else
#error "system call numbers are known for x86_64 and arm64 only: build with make proc-only"
#endif

static __always_inline enum pm_call call_of(struct pt_regs *regs)
{
	__u64 number = call_number(regs);

	return number < PM_CALLS_MAX ? call_rows[number].call : PM_CALL_NONE;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
	__u64 number = call_number(regs);
	__u32 handler;

	/* That a traced process makes them is itself told, once. */
	if (active_slots && is_compat(bpf_get_current_task_btf()))
		bpf_tail_call(ctx, &handlers, PM_HANDLER_PROCESS);
	if (number >= PM_CALLS_MAX)
		return 0;
	handler = call_rows[number].handler;
	if (handler == PM_HANDLER_NONE || (handler == PM_HANDLER_FILE && !file_slots))
		return 0;
	if (is_compat(bpf_get_current_task_btf()))
		return 0;
	bpf_tail_call(ctx, &handlers, handler);
	return 0;
}

#endif
