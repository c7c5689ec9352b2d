/*
 * Gives up privilege as procmond does and then tries what an intruder inside procmond would try.
 * It guarantees one line PASS or FAIL per attempt and exit 1 when one succeeded, or when something
 * procmond needs was refused. It must be linked with the production filter: the one that kills
 * would end it at the first attempt.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "privilege.h"

static int failures;

static void say(bool good, const char *name)
{
	failures += !good;
	printf("%s %s\n", good ? "PASS" : "FAIL", name);
}

static void refused(long result, const char *what)
{
	char name[96];

	snprintf(name, sizeof(name), "refused: %s", what);
	say(result == -1 && errno == EPERM, name);
}

static void allowed(bool good, const char *what)
{
	char name[96];

	snprintf(name, sizeof(name), "allowed: %s", what);
	say(good, name);
}

static long bpf(int command, union bpf_attr *attr)
{
	return syscall(__NR_bpf, command, attr, sizeof(*attr));
}

static int create_map(void)
{
	union bpf_attr attr = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8,
			       .max_entries = 1};

	return (int)bpf(BPF_MAP_CREATE, &attr);
}

static void try_processes(void)
{
	char *argv[] = {"false", NULL};

	refused(execve("/bin/false", argv, NULL), "execve");
	refused(syscall(__NR_execveat, AT_FDCWD, "/bin/false", argv, NULL, 0), "execveat");
	refused(syscall(__NR_clone, SIGCHLD, 0, 0, 0, 0), "a new process");
	refused(syscall(__NR_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), "a user namespace");
#ifdef __NR_fork
	refused(syscall(__NR_fork), "fork");
	refused(syscall(__NR_vfork), "vfork");
#endif
#ifdef __NR_clone3
	say(syscall(__NR_clone3, NULL, 0) == -1 && errno == ENOSYS, "absent: clone3");
#endif
	refused(ptrace(PTRACE_ATTACH, 1, NULL, NULL), "ptrace");
	refused(syscall(__NR_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0), "process_vm_writev");
	refused(kill(getppid(), 0), "a signal to another process");
	refused(syscall(__NR_tgkill, getppid(), getppid(), 0), "a signal to another thread group");
	refused(setpriority(PRIO_PROCESS, (id_t)getppid(), 1), "another's priority");
	refused(syscall(__NR_unshare, CLONE_NEWNS), "unshare");
	refused(syscall(__NR_setns, 0, 0), "setns");
	refused(setuid(65534), "setuid");
}

static void try_network_and_files(const char *writable)
{
	refused(socket(AF_INET, SOCK_STREAM, 0), "an internet socket");
	refused(socket(AF_UNIX, SOCK_STREAM, 0), "a unix socket");
	refused(connect(0, NULL, 0), "connect");
	refused(bind(0, NULL, 0), "bind");
	refused(open(writable, O_WRONLY), "a file opened for writing");
	refused(open(writable, O_RDWR), "a file opened for reading and writing");
	refused(open(writable, O_RDONLY | O_TRUNC), "a file emptied by opening");
	refused(open("/proc/self/no-such-file", O_RDONLY | O_CREAT, 0600), "a file made");
	refused(syscall(__NR_openat2, AT_FDCWD, writable, NULL, 0), "openat2");
	refused(syscall(__NR_unlinkat, AT_FDCWD, writable, 0), "unlink");
	refused(syscall(__NR_renameat2, AT_FDCWD, writable, AT_FDCWD, writable, 0), "rename");
	refused(syscall(__NR_fchmodat, AT_FDCWD, writable, 0777), "chmod");
	refused(syscall(__NR_mount, NULL, NULL, NULL, 0, NULL), "mount");
	refused(syscall(__NR_open_by_handle_at, -1, NULL, O_RDWR), "a handle opened for writing");
	refused(fcntl(0, F_SETOWN, getppid()), "signals of a descriptor sent to another process");
	refused(fcntl(0, F_SETSIG, SIGKILL), "a signal chosen for a descriptor");
	refused(fcntl(0, F_SETLEASE, F_RDLCK), "a lease");
	refused(fcntl(0, F_SETLK, NULL), "a lock");
	refused(fcntl(0, F_NOTIFY, 1), "a watch on a folder");
	refused(fcntl(0, F_DUPFD, 0), "a descriptor for programs to inherit");
	refused(syscall(__NR_memfd_create, "x", 0), "memfd_create");
	refused(syscall(__NR_io_uring_setup, 1, NULL), "io_uring");
}

static void try_kernel_and_memory(int map_fd)
{
	static const int commands[] = {BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_OBJ_PIN, BPF_OBJ_GET,
				       BPF_PROG_ATTACH, BPF_LINK_CREATE, BPF_PROG_GET_FD_BY_ID,
				       BPF_MAP_GET_FD_BY_ID, BPF_RAW_TRACEPOINT_OPEN, BPF_BTF_LOAD,
				       32 + BPF_MAP_FREEZE, 64, 65, 128, -1};
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{~0u, ~0u, ~0u}, {~0u, ~0u, ~0u}};
	union bpf_attr attr;
	char name[32];

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		memset(&attr, 0, sizeof(attr));
		snprintf(name, sizeof(name), "bpf command %d", commands[i]);
		refused(bpf(commands[i], &attr), name);
	}
	refused(syscall(__NR_perf_event_open, NULL, 0, 0, 0, 0), "perf_event_open");
	refused(syscall(__NR_init_module, NULL, 0, ""), "init_module");
	refused(syscall(__NR_finit_module, map_fd, "", 0), "finit_module");
	refused(syscall(__NR_capset, &header, data), "capset");
	refused(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "to be dumpable again");
	refused(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0), "other securebits");
	refused(syscall(__NR_seccomp, 0, 0, NULL), "another filter");
	refused((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		"executable memory");
	refused(mprotect((void *)((uintptr_t)&failures & ~4095ul), 4096,
			 PROT_READ | PROT_WRITE | PROT_EXEC), "memory made executable");
	refused(ioctl(0, 0x5412, ""), "a key pushed into a terminal");
	refused(syscall(__NR_keyctl, 0, 0, 0, 0, 0), "keyctl");
#ifdef __x86_64__
	long result;

	/* getpid of the 32-bit interface, whose numbers mean other calls. */
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
	say(result == -EPERM, "refused: the 32-bit interface");
	refused(syscall(0x40000000 + __NR_getpid), "the x32 interface");
#endif
}

static void *in_thread(void *context)
{
	bool *done = context;
	struct sched_param param = {0};

	*done = !setpriority(PRIO_PROCESS, 0, 19) && !sched_setscheduler(0, SCHED_IDLE, &param) &&
		!syscall(__NR_ioprio_set, 1, 0, 3 << 13) && socket(AF_INET, SOCK_STREAM, 0) == -1;
	return NULL;
}

static bool opens(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* The ways of the C library's opendir and of a loop that is not to wait. */
static bool uses_descriptors(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
	bool good = fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && !fcntl(fd, F_SETFD, FD_CLOEXEC) &&
		    fcntl(fd, F_GETFL) >= 0 && !fcntl(fd, F_SETFL, fcntl(fd, F_GETFL));

	if (fd >= 0)
		close(fd);
	return good;
}

/* `other` is a process of another user, and so is the owner of `file`. */
static void use_what_is_needed(int map_fd, pid_t other, const char *file)
{
	union bpf_attr attr;
	uint32_t key = 0;
	uint64_t value = 7;
	bool done = false;
	pthread_t thread;
	int fd = open(file, O_RDONLY | O_NOATIME);

	allowed(fd >= 0 && !close(fd), "reading a file of another user without a trace in its times");
	allowed(uses_descriptors(), "duplicating and setting descriptors");
	allowed(opens(other, "exe") && opens(other, "maps") && opens(other, "mem") &&
		opens(other, "environ") && opens(other, "fd"), "reading a process of another user");
	allowed(!pthread_create(&thread, NULL, in_thread, &done) && !pthread_join(thread, NULL) &&
		done, "a thread that steps back, filtered too");
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (uint32_t)map_fd;
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)&value;
	allowed(map_fd >= 0 && !bpf(BPF_MAP_UPDATE_ELEM, &attr) && !(value = 0) &&
		!bpf(BPF_MAP_LOOKUP_ELEM, &attr) && value == 7, "reading and writing an open map");
}

int main(int argc, char **argv)
{
	struct privilege_report report;
	int map_fd = create_map();

	if (argc != 3) {
		fprintf(stderr, "privilege_breach: give a file of another user that may be written and the pid of a "
				"process of another user.\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 4096);
	printf("-- attempts from inside\n");
	report = privilege_drop(FRAME_TIER_EBPF);
	say(!report.capabilities_kept && !report.filter_missing && !report.threads_running,
	    "everything was given up");
	try_processes();
	try_network_and_files(argv[1]);
	try_kernel_and_memory(map_fd);
	use_what_is_needed(map_fd, atoi(argv[2]), argv[1]);
	return failures != 0;
}
