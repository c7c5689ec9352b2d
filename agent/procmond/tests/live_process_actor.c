/*
 * live_process_actor: what a process does to itself and to others, for the live test to see. It
 * guarantees that it prints the pids it acted with. It must never reach into a process it did not
 * start, except the one it is given to test that the attempt is seen.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PEEKS 200

static void say_pid(void)
{
	printf("%d\n", getpid());
	fflush(stdout);
}

/* Changes ids twice, asks for what it has already twice, and once for what it may not have. */
static int act_ids(void)
{
	say_pid();
	if (syscall(SYS_setresgid, 1001, 1001, 1001) || syscall(SYS_setresuid, 1002, 1003, 1002))
		return 1;
	syscall(SYS_setresuid, 1002, 1003, 1002);
	syscall(SYS_setuid, 1003);
	return syscall(SYS_setuid, 0) ? 0 : 1;
}

static int copy_to(int to, const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC);
	char room[65536];
	ssize_t n;

	while ((n = read(from, room, sizeof(room))) > 0)
		if (write(to, room, (size_t)n) != n)
			return -1;
	close(from);
	return 0;
}

/* Runs a copy of true that lies in memory only, or one whose name is gone by then. */
static int act_run(const char *name, int in_memory)
{
	char *const argv[] = {"copy", NULL}, *const envp[] = {NULL};
	int fd = in_memory ? memfd_create(name, MFD_CLOEXEC)
			   : open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0700);

	say_pid();
	if (fd < 0 || copy_to(fd, "/bin/true"))
		return 1;
	if (!in_memory) {
		int again = open(name, O_RDONLY | O_CLOEXEC);

		close(fd);
		fd = again;
		unlink(name);
	}
	fexecve(fd, argv, envp);
	return 1;
}

static pid_t start_victim(int *word)
{
	pid_t child = fork();

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	printf("%d %d\n", getpid(), child);
	fflush(stdout);
	*word = 0;
	return child;
}

static int end_victim(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return 0;
}

static int act_trace(void)
{
	static int word;
	pid_t child = start_victim(&word);

	if (ptrace(PTRACE_ATTACH, child, NULL, NULL))
		return 1;
	waitpid(child, NULL, 0);
	for (int i = 0; i < PEEKS; i++)
		ptrace(PTRACE_PEEKDATA, child, &word, NULL);
	for (int i = 0; i < PEEKS; i++)
		ptrace(PTRACE_POKEDATA, child, &word, NULL);
	ptrace(PTRACE_DETACH, child, NULL, NULL);
	return end_victim(child);
}

static int act_reach(void)
{
	static int word;
	pid_t child = start_victim(&word);
	struct iovec mine = {&word, sizeof(word)};
	int pidfd = (int)syscall(SYS_pidfd_open, child, 0);

	if (process_vm_writev(child, &mine, 1, &mine, 1, 0) != sizeof(word))
		return 1;
	if (syscall(SYS_pidfd_getfd, pidfd, 1, 0) < 0)
		return 1;
	return end_victim(child);
}

static int act_seize(pid_t pid)
{
	say_pid();
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL))
		return 1;
	ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
	waitpid(pid, NULL, __WALL);
	return ptrace(PTRACE_DETACH, pid, NULL, NULL) ? 1 : 0;
}

static int act_load_program(void)
{
	struct bpf_insn code[] = {{.code = 0xb7}, {.code = 0x95}};
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 2,
			       .insns = (__u64)(unsigned long)code,
			       .license = (__u64)(unsigned long)"GPL"};

	say_pid();
	for (int i = 0; i < 5; i++)
		if (syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)) < 0)
			return 1;
	return 0;
}

static int set_up_ring(void)
{
	char parameters[256] = {0};

	return syscall(SYS_io_uring_setup, 4, parameters) < 0 ? 1 : 0;
}

static void call_32bit(void)
{
#ifdef __x86_64__
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
#endif
}

/* finit_module of no descriptor, or bpf() for the descriptor of a map, as a 32-bit call. */
static int act_compat(long number, unsigned command)
{
	long result = -ENOSYS;
#ifdef __x86_64__
	unsigned *low = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (low == MAP_FAILED)
		return 1;
	low[0] = command;
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(command ? 14L : -1L), "c"(low), "d"(command ? 120L : 0L)
			 : "memory", "r8", "r9", "r10", "r11");
#endif
	say_pid();
	return result < 0 && command;
}

/* Signals that say they come from a timer, and from a descriptor that became ready. */
static int act_signal(const char *how, pid_t pid, int number)
{
	siginfo_t info = {.si_signo = number, .si_code = SI_TIMER};
	int ends[2];

	say_pid();
	if (!strcmp(how, "queue"))
		return syscall(SYS_rt_sigqueueinfo, pid, number, &info) ? 1 : 0;
	if (pipe2(ends, O_CLOEXEC) || fcntl(ends[0], F_SETOWN, pid) ||
	    fcntl(ends[0], F_SETSIG, number) || fcntl(ends[0], F_SETFL, O_ASYNC))
		return 1;
	return write(ends[1], "x", 1) == 1 ? 0 : 1;
}

/* As many children as asked for try what the kernel refuses them. */
static int act_refused(pid_t target, int count)
{
	say_pid();
	for (int i = 0; i < count; i++) {
		pid_t child = fork();

		if (child == 0) {
			ptrace(PTRACE_ATTACH, target, NULL, NULL);
			ptrace(PTRACE_SEIZE, target, NULL, NULL);
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	return 0;
}

/* The globals name the process itself; nothing else that it shares with the kernel does. */
static bool holds_number(int mem, unsigned long start, uint32_t number)
{
	uint32_t page[128];

	if (pread(mem, page, sizeof(page), (off_t)start) != sizeof(page))
		return false;
	for (unsigned i = 0; i < sizeof(page) / sizeof(page[0]); i++)
		if (page[i] == number)
			return true;
	return false;
}

/* Zeroes eight bytes of the globals that a process shares with its kernel programs; prints the old. */
static int act_poke(pid_t pid, unsigned long offset)
{
	char path[64], line[512];
	unsigned long start, stop, old = 0, zero = 0;
	FILE *maps;
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "bpf-map") || !strstr(line, " rw-s ") ||
		    sscanf(line, "%lx-%lx", &start, &stop) != 2 || !holds_number(mem, start, (uint32_t)pid))
			continue;
		if (pread(mem, &old, sizeof(old), (off_t)(start + offset)) != sizeof(old) ||
		    pwrite(mem, &zero, sizeof(zero), (off_t)(start + offset)) != sizeof(zero))
			return 1;
		printf("%lu\n", old);
		return 0;
	}
	return 1;
}

/* By number only: whether this kernel has x32 at all makes no difference to who asks for it. */
static void call_x32(void)
{
#ifdef __x86_64__
	syscall(0x40000000L + SYS_getpid);
#endif
}

/* Each line on standard input is one act, so that a trace can begin before or after it; said when done. */
static int act_by_line(int ring)
{
	char line[64];

	say_pid();
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "quit", 4)) {
		if (!strncmp(line, "ring", 4) && set_up_ring())
			return 1;
		if (!strncmp(line, "use", 3) && syscall(SYS_io_uring_enter, ring, 0, 0, 0, NULL, 0))
			return 1;
		if (!strncmp(line, "compat", 6))
			call_32bit();
		if (!strncmp(line, "x32", 3))
			call_x32();
		printf("did %s", line);
		fflush(stdout);
	}
	return 0;
}

/* A child that uses the ring of its parent. */
static int act_inherit(void)
{
	char parameters[256] = {0};
	int ring = (int)syscall(SYS_io_uring_setup, 4, parameters), status = 1;
	pid_t child = ring < 0 ? -1 : fork();

	if (child == 0)
		_exit(act_by_line(ring));
	waitpid(child, &status, 0);
	return status ? 1 : 0;
}

/* Children that sleep until this one ends: told apart by nothing but their pids. */
static int act_crowd(int count, int waits)
{
	if (waits) {
		say_pid();
		getchar();
	}
	for (int i = 0; i < count; i++) {
		pid_t child = fork();

		if (child < 0)
			return 1;
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;)
				pause();
		}
	}
	if (!waits)
		say_pid();
	while (getchar() != EOF)
		;
	return 0;
}

/* Short lives, one after the other, so that pids come round where they are few. */
static int act_churn(int count)
{
	for (int i = 0; i < count; i++) {
		pid_t child = fork();

		if (child < 0)
			return 1;
		if (child == 0)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	return 0;
}

/* Has the kernel give the pid of a dead child again; prints it, or 0 when others took it for half a minute. */
static int act_reuse(void)
{
	for (int attempt = 0; attempt < 1500; attempt++) {
		int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
		pid_t first = fork(), second;

		if (first == 0)
			_exit(0);
		waitpid(first, NULL, 0);
		usleep(20000);
		dprintf(fd, "%d", first - 1);
		close(fd);
		second = fork();
		if (second == 0)
			_exit(0);
		waitpid(second, NULL, 0);
		if (first == second) {
			printf("%d\n", first);
			return 0;
		}
	}
	printf("0\n");
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "ids"))
		return act_ids();
	if (!strcmp(what, "memory") && argc > 2)
		return act_run(argv[2], 1);
	if (!strcmp(what, "deleted") && argc > 2)
		return act_run(argv[2], 0);
	if (!strcmp(what, "trace"))
		return act_trace();
	if (!strcmp(what, "reach"))
		return act_reach();
	if (!strcmp(what, "seize") && argc > 2)
		return act_seize(atoi(argv[2]));
	if (!strcmp(what, "load-program"))
		return act_load_program();
	if (!strcmp(what, "module")) {
		say_pid();
		syscall(SYS_finit_module, -1, "", 0);
		return 0;
	}
	if (!strcmp(what, "lines"))
		return act_by_line(-1);
	if (!strcmp(what, "inherit"))
		return act_inherit();
	if (!strcmp(what, "compat-module"))
		return act_compat(350, 0);
	if (!strcmp(what, "compat-map") && argc > 2)
		return act_compat(357, (unsigned)atoi(argv[2]));
	if ((!strcmp(what, "queue") || !strcmp(what, "aim")) && argc > 3)
		return act_signal(what, atoi(argv[2]), atoi(argv[3]));
	if (!strcmp(what, "refused") && argc > 3)
		return act_refused(atoi(argv[2]), atoi(argv[3]));
	if (!strcmp(what, "poke") && argc > 3)
		return act_poke(atoi(argv[2]), strtoul(argv[3], NULL, 10));
	if (!strcmp(what, "crowd") && argc > 2)
		return act_crowd(atoi(argv[2]), 0);
	if (!strcmp(what, "crowd-when-told") && argc > 2)
		return act_crowd(atoi(argv[2]), 1);
	if (!strcmp(what, "churn") && argc > 2)
		return act_churn(atoi(argv[2]));
	if (!strcmp(what, "reuse"))
		return act_reuse();
	fprintf(stderr, "live_process_actor: ids|memory NAME|deleted PATH|trace|reach|seize PID|"
			"load-program|module|lines|inherit|compat-module|compat-map ID|queue PID SIGNAL|"
			"aim PID SIGNAL|refused PID N|poke PID OFFSET|crowd N|crowd-when-told N|"
			"churn N|reuse\n");
	return 2;
}
