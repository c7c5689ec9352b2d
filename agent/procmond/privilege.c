/*
 * Gives up what the open source no longer needs, see privilege.h. Capabilities by the raw calls
 * and the filter by hand: both are short, and neither is worth a library on a closed net.
 *
 * A refused call answers EPERM and is written to the kernel's log; it does not kill procmond. A C
 * library that one day prefers another call would otherwise end the sensor at every start, and an
 * intruder who can make procmond call anything could end it at will: a blind host is worse than a
 * refused call. The builds that run the tests (PROCMOND_TEST_BUILD) do kill, so that a call
 * missing from the table cannot go unseen.
 */
#include "privilege.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CAP_BPF
#define CAP_BPF 39
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#define X32_NUMBERS 0x40000000
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#else
#error "the filter knows x86_64 and aarch64: add the architecture and its system calls"
#endif

#ifdef PROCMOND_TEST_BUILD
#define REFUSED SECCOMP_RET_KILL_PROCESS
#else
#define REFUSED (SECCOMP_RET_ERRNO | EPERM)
#endif

#define BIT(capability) (1ull << (capability))
/* Other users' /proc/PID/{exe,cwd,environ,maps,mem,fd} ask for it, whatever the uid. */
#define READ_PROCESSES BIT(CAP_SYS_PTRACE)
/* /proc/PID/fd is 0500 of its owner, and executables need not be readable to be hashed. */
#define READ_FILES BIT(CAP_DAC_READ_SEARCH)
/* O_NOATIME on files of others: hashing a new file must not show in its access time. What else the
   capability allows (modes, owners, sticky folders) takes system calls that the filter refuses. */
#define READ_UNSEEN BIT(CAP_FOWNER)
/* Up to 5.18 every bpf() call wants it where unprivileged bpf is off: traces are map updates. */
#define UPDATE_MAPS BIT(CAP_BPF)

uint64_t privilege_capabilities_of(uint16_t tier)
{
	switch (tier) {
	/* CAP_PERFMON is for loading and attaching: the programs run without it. */
	case FRAME_TIER_EBPF: return READ_PROCESSES | READ_FILES | READ_UNSEEN | UPDATE_MAPS;
	/* CAP_NET_ADMIN is for joining the proc connector: reading it afterwards is free. */
	case FRAME_TIER_NETLINK: return READ_PROCESSES | READ_FILES | READ_UNSEEN;
	case FRAME_TIER_PROC: return READ_PROCESSES | READ_FILES | READ_UNSEEN;
	default: return 0;
	}
}

/* What an argument must be for a call to be allowed. */
enum condition {
	ANY = 0, /* allowed whatever its arguments */
	EQUALS, /* the argument is `value` */
	ONE_OF, /* it is among the numbers that are bits of `value` (below 64) */
	WITHOUT, /* none of the bits of `value` is set */
	WITH, /* all bits of `value` are set */
	ABSENT, /* answered ENOSYS by a filter of its own: the caller falls back to another call */
};

struct rule {
	int number;
	enum condition condition;
	int argument;
	uint64_t value;
};

#define ALLOW(name) {__NR_##name, ANY, 0, 0}
/* Commands whose numbers are below 64. No locks, leases, signals or owners: an intruder would hold up
   others with the first two, and send signals with the rest. */
#define DESCRIPTOR_WORK (1ull << F_GETFD | 1ull << F_SETFD | 1ull << F_GETFL | 1ull << F_SETFL)
/* Reading is all that procmond opens files for. */
#define WRITES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)
#define OWN_PID UINT64_MAX /* replaced when the filter is made */
#define BPF_BIT(command) (1ull << (command))
#define BPF_MAP_WORK \
	(BPF_BIT(BPF_MAP_LOOKUP_ELEM) | BPF_BIT(BPF_MAP_UPDATE_ELEM) | \
	 BPF_BIT(BPF_MAP_DELETE_ELEM) | BPF_BIT(BPF_MAP_GET_NEXT_KEY) | \
	 BPF_BIT(BPF_MAP_LOOKUP_BATCH) | BPF_BIT(BPF_MAP_UPDATE_BATCH) | \
	 BPF_BIT(BPF_MAP_DELETE_BATCH) | BPF_BIT(BPF_MAP_LOOKUP_AND_DELETE_ELEM) | \
	 BPF_BIT(BPF_MAP_LOOKUP_AND_DELETE_BATCH) | BPF_BIT(BPF_OBJ_GET_INFO_BY_FD) | \
	 BPF_BIT(BPF_ITER_CREATE))

static const struct rule rules[] = {
	/* Traces and counters: work on maps that are open. No load, no attach, no pin, no look-up by
	   id. ITER_CREATE reads processes through a link that was attached before. */
	{__NR_bpf, ONE_OF, 0, BPF_MAP_WORK},
	/* The link to the agent, the netlink socket, the recording: all opened before. */
	ALLOW(read), ALLOW(readv), ALLOW(write), ALLOW(writev),
	ALLOW(sendto), ALLOW(sendmsg), ALLOW(recvfrom), ALLOW(recvmsg), ALLOW(recvmmsg),
	ALLOW(getsockopt), ALLOW(getsockname), ALLOW(shutdown),
	/* Waiting. */
	ALLOW(ppoll), ALLOW(pselect6), ALLOW(epoll_create1), ALLOW(epoll_ctl), ALLOW(epoll_pwait),
	ALLOW(timerfd_create), ALLOW(timerfd_settime), ALLOW(eventfd2), ALLOW(pipe2),
	ALLOW(nanosleep), ALLOW(clock_nanosleep), ALLOW(clock_gettime), ALLOW(clock_getres),
	ALLOW(gettimeofday), ALLOW(restart_syscall),
	/* Reading /proc, cgroup and pressure files, executables. Opened by openat only, for reading
	   only; openat2 keeps its flags behind a pointer no filter can look through. */
	{__NR_openat, WITHOUT, 2, WRITES},
	/* The path of a cgroup from the id an event carries. */
	{__NR_open_by_handle_at, WITHOUT, 2, WRITES},
	ALLOW(pread64), ALLOW(preadv), ALLOW(lseek), ALLOW(close), ALLOW(close_range),
	ALLOW(getdents64), ALLOW(readlinkat), ALLOW(faccessat), ALLOW(statx), ALLOW(newfstatat),
	ALLOW(fstat), ALLOW(statfs), ALLOW(fstatfs), ALLOW(name_to_handle_at),
	{__NR_fcntl, ONE_OF, 1, DESCRIPTOR_WORK},
	{__NR_fcntl, EQUALS, 1, F_DUPFD_CLOEXEC},
	ALLOW(dup), ALLOW(dup3), ALLOW(fadvise64), ALLOW(readahead),
#ifdef __NR_faccessat2
	ALLOW(faccessat2),
#endif
#ifdef __NR_open
	/* The older names of the same, which some C libraries still call. */
	{__NR_open, WITHOUT, 1, WRITES},
	ALLOW(stat), ALLOW(lstat), ALLOW(access), ALLOW(readlink), ALLOW(poll), ALLOW(select),
	ALLOW(epoll_wait), ALLOW(dup2), ALLOW(time),
#endif
	/* Memory, never executable: procmond has all its code by now. */
	ALLOW(brk), ALLOW(munmap), ALLOW(mremap), ALLOW(madvise), ALLOW(membarrier),
	{__NR_mmap, WITHOUT, 2, PROT_EXEC},
	{__NR_mprotect, WITHOUT, 2, PROT_EXEC},
	/* A thread that hashes; a process never. clone3 hides its flags, so the C library is sent to
	   clone. */
	{__NR_clone, WITH, 0, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD},
#ifdef __NR_clone3
	{__NR_clone3, ABSENT, 0, 0},
#endif
	ALLOW(futex), ALLOW(set_robust_list), ALLOW(gettid), ALLOW(sched_yield),
#ifdef __NR_rseq
	ALLOW(rseq),
#endif
	/* That thread makes room for others: 0 is the caller itself. */
	{__NR_sched_setscheduler, EQUALS, 0, 0},
	{__NR_sched_setattr, EQUALS, 0, 0},
	{__NR_setpriority, EQUALS, 1, 0},
	{__NR_ioprio_set, EQUALS, 1, 0},
	/* Going to each CPU in turn after an overrun, to learn where the kernel's count stands there. */
	{__NR_sched_setaffinity, EQUALS, 0, 0},
	ALLOW(sched_getscheduler), ALLOW(sched_getparam), ALLOW(sched_getaffinity),
	ALLOW(getpriority),
	/* Own name and memory names; not capabilities, not dumpability, not another filter. */
	{__NR_prctl, EQUALS, 0, PR_SET_NAME},
	{__NR_prctl, EQUALS, 0, PR_SET_VMA},
	/* Signals to itself: abort() after a broken invariant. */
	{__NR_tgkill, EQUALS, 0, OWN_PID},
	ALLOW(rt_sigaction), ALLOW(rt_sigprocmask), ALLOW(rt_sigreturn), ALLOW(rt_sigtimedwait),
	ALLOW(sigaltstack),
	/* Who and where it is; what the C library asks to size its buffers. */
	ALLOW(getpid), ALLOW(getppid), ALLOW(getuid), ALLOW(geteuid), ALLOW(getgid), ALLOW(getegid),
	ALLOW(uname), ALLOW(sysinfo), ALLOW(getrandom), ALLOW(getcpu), ALLOW(getrusage),
	{__NR_prlimit64, EQUALS, 0, 0},
	ALLOW(exit), ALLOW(exit_group),
};

#define RULES ((int)(sizeof(rules) / sizeof(rules[0])))
/* The longest is ONE_OF: the number, eleven steps, the answer, the number loaded again. */
#define RULE_STEPS_MAX 14
#define PROGRAM_STEPS_MAX (8 + RULE_STEPS_MAX * RULES)

struct program {
	struct sock_filter steps[PROGRAM_STEPS_MAX];
	unsigned short used;
};

static void step(struct program *program, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	program->steps[program->used++] = (struct sock_filter){code, yes, no, k};
}

static void answer(struct program *program, uint32_t action)
{
	step(program, BPF_RET | BPF_K, action, 0, 0);
}

static size_t argument_offset(const struct rule *rule)
{
	return offsetof(struct seccomp_data, args) + sizeof(uint64_t) * (size_t)rule->argument;
}

static void load(struct program *program, size_t offset)
{
	step(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/*
 * Goes on with the next step when the argument fits the rule, else skips one. Every argument that
 * is looked at is 32 bits to the kernel or has its checked bits in the low word, so the high word
 * is left alone, as the kernel leaves it.
 */
static void add_check(struct program *program, const struct rule *rule)
{
	uint32_t value = rule->value == OWN_PID ? (uint32_t)getpid() : (uint32_t)rule->value;

	load(program, argument_offset(rule));
	if (rule->condition == WITHOUT) {
		step(program, BPF_JMP | BPF_JSET | BPF_K, value, 1, 0);
		return;
	}
	if (rule->condition == WITH)
		step(program, BPF_ALU | BPF_AND | BPF_K, value, 0, 0);
	step(program, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
}

/* A number as an index into the bits of value: 64 comparisons would be a longer program. */
static void add_one_of(struct program *program, const struct rule *rule)
{
	uint32_t low = (uint32_t)rule->value, high = (uint32_t)(rule->value >> 32);

	load(program, argument_offset(rule));
	step(program, BPF_JMP | BPF_JGE | BPF_K, 64, 10, 0);
	step(program, BPF_JMP | BPF_JGE | BPF_K, 32, 3, 0);
	step(program, BPF_MISC | BPF_TAX, 0, 0, 0);
	step(program, BPF_LD | BPF_IMM, low, 0, 0);
	step(program, BPF_JMP | BPF_JA, 3, 0, 0);
	step(program, BPF_ALU | BPF_SUB | BPF_K, 32, 0, 0);
	step(program, BPF_MISC | BPF_TAX, 0, 0, 0);
	step(program, BPF_LD | BPF_IMM, high, 0, 0);
	step(program, BPF_ALU | BPF_RSH | BPF_X, 0, 0, 0);
	step(program, BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1);
}

static void add_rule(struct program *program, const struct rule *rule)
{
	unsigned short number_at = program->used;

	step(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->number, 0, 0);
	if (rule->condition == ONE_OF)
		add_one_of(program, rule);
	else if (rule->condition != ANY && rule->condition != ABSENT)
		add_check(program, rule);
	answer(program, SECCOMP_RET_ALLOW);
	program->steps[number_at].jf = (uint8_t)(program->used - number_at - 1);
	/* The argument took the number's place; the next rule compares the number again. */
	if (rule->condition != ANY && rule->condition != ABSENT)
		load(program, offsetof(struct seccomp_data, nr));
}

static void build(struct program *program)
{
	program->used = 0;
	load(program, offsetof(struct seccomp_data, arch));
	step(program, BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCH, 1, 0);
	answer(program, REFUSED);
	load(program, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	/* The x32 numbers share the architecture; none of them is in the table, and this says why. */
	step(program, BPF_JMP | BPF_JGE | BPF_K, X32_NUMBERS, 0, 1);
	answer(program, REFUSED);
#endif
	for (int i = 0; i < RULES; i++)
		add_rule(program, &rules[i]);
	answer(program, REFUSED);
}

/* Allows everything but the absent calls, which the filter proper leaves to this one. */
static void build_absent(struct program *program)
{
	program->used = 0;
	load(program, offsetof(struct seccomp_data, nr));
	for (int i = 0; i < RULES; i++) {
		if (rules[i].condition != ABSENT)
			continue;
		step(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rules[i].number, 0, 1);
		answer(program, SECCOMP_RET_ERRNO | ENOSYS);
	}
	answer(program, SECCOMP_RET_ALLOW);
}

static bool install(const struct program *program, unsigned long flags)
{
	struct sock_fprog filter = {program->used, (struct sock_filter *)program->steps};

	return !syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
}

static bool install_filters(void)
{
	static struct program program;

	/* Apart and unlogged: the C library asks at every start, and a log has room for news only. */
	build_absent(&program);
	if (!install(&program, SECCOMP_FILTER_FLAG_TSYNC))
		return false;
	build(&program);
	/* Kernels before 4.14 cannot log. */
	return install(&program, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG) ||
	       install(&program, SECCOMP_FILTER_FLAG_TSYNC);
}

static bool set_capabilities(uint64_t keep)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(__NR_capget, &header, data))
		return false;
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(keep >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return !syscall(__NR_capset, &header, data);
}

static bool has_other_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int threads = 0;

	if (!dir)
		return false;
	while ((entry = readdir(dir)))
		threads += entry->d_name[0] != '.';
	closedir(dir);
	return threads > 1;
}

struct privilege_report privilege_drop(uint16_t tier)
{
	struct privilege_report report = {.threads_running = has_other_threads()};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* Frames hold command lines: no core file, and no reading by another process of this uid. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* Both want CAP_SETPCAP. Without it there is either nothing to give up or, with
	   NO_NEW_PRIVS, no way to use it. */
	for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
		prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	prctl(PR_SET_SECUREBITS,
	      SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
	      SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
	      SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	report.capabilities_kept = !set_capabilities(privilege_capabilities_of(tier));
	report.filter_missing = !install_filters();
	return report;
}
