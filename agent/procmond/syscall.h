/*
 * Which system calls are looked at, by what program: the one list. User space turns it into the table
 * that the kernel side reads. It guarantees that a call not named here costs one look-up. It must
 * never mix 32-bit numbers with the others: those are other calls, with a list of their own.
 */
#ifndef PROCMOND_SYSCALL_H
#define PROCMOND_SYSCALL_H

#include "frame.h"

/* Calls with a higher number are new to this build and are not looked at. */
#define PM_CALLS_MAX 512

/* A program that one look-up leads to: an index of the `handlers` map. */
enum pm_handler {
	PM_HANDLER_NONE = 0,
	PM_HANDLER_PROCESS = 1,
	PM_HANDLER_NETWORK = 2,
	/* Both are left at once while no trace collects files and nothing is watched. */
	PM_HANDLER_FILE = 3,
	/*
	 * SEND to READ: every send, receive, read and write of the machine meets them, so they are
	 * left before the jump unless the descriptor is a datagram socket.
	 */
	PM_HANDLER_SEND = 4,
	PM_HANDLER_RECEIVE = 5,
	/* And unless it is known to be connected to a DNS port. */
	PM_HANDLER_WRITE = 6,
	PM_HANDLER_READ = 7,
	/* Calls that name a file by a string: they are looked at on entry as well. */
	PM_HANDLER_FILE_NAME = 8,
	PM_HANDLERS = 9,
};

/* X(NAME, handler, number on x86_64, number on arm64); -1 = the call does not exist there. */
#define PM_CALLS(X) \
	X(SETUID, PROCESS, 105, 146) X(SETGID, PROCESS, 106, 144) X(SETREUID, PROCESS, 113, 145) \
	X(SETREGID, PROCESS, 114, 143) X(SETRESUID, PROCESS, 117, 147) X(SETRESGID, PROCESS, 119, 149) \
	X(PTRACE, PROCESS, 101, 117) X(PROCESS_VM_READV, PROCESS, 310, 270) \
	X(PROCESS_VM_WRITEV, PROCESS, 311, 271) X(PIDFD_GETFD, PROCESS, 438, 438) \
	X(BPF, PROCESS, 321, 280) X(INIT_MODULE, PROCESS, 175, 105) X(FINIT_MODULE, PROCESS, 313, 273) \
	X(DELETE_MODULE, PROCESS, 176, 106) X(IO_URING_SETUP, PROCESS, 425, 425) \
	X(IO_URING_ENTER, PROCESS, 426, 426) X(IO_URING_REGISTER, PROCESS, 427, 427) \
	X(ACCEPT, NETWORK, 43, 202) X(ACCEPT4, NETWORK, 288, 242) X(SOCKET, NETWORK, 41, 198) \
	X(BIND, NETWORK, 49, 200) X(LISTEN, NETWORK, 50, 201) X(CONNECT, NETWORK, 42, 203) \
	X(SENDTO, SEND, 44, 206) X(SENDMSG, SEND, 46, 211) X(SENDMMSG, SEND, 307, 269) \
	X(RECVFROM, RECEIVE, 45, 207) X(RECVMSG, RECEIVE, 47, 212) X(RECVMMSG, RECEIVE, 299, 243) \
	X(READ, READ, 0, 63) X(WRITE, WRITE, 1, 64) X(READV, READ, 19, 65) X(WRITEV, WRITE, 20, 66) \
	X(OPEN, FILE, 2, -1) X(OPENAT, FILE, 257, 56) X(OPENAT2, FILE, 437, 437) \
	X(CREAT, FILE, 85, -1) X(OPEN_BY_HANDLE_AT, FILE, 304, 265) \
	X(RENAME, FILE_NAME, 82, -1) X(RENAMEAT, FILE_NAME, 264, 38) \
	X(RENAMEAT2, FILE_NAME, 316, 276) X(UNLINK, FILE_NAME, 87, -1) X(UNLINKAT, FILE_NAME, 263, 35) \
	X(RMDIR, FILE_NAME, 84, -1) X(LINK, FILE_NAME, 86, -1) X(LINKAT, FILE_NAME, 265, 37) \
	X(SYMLINK, FILE_NAME, 88, -1) X(SYMLINKAT, FILE_NAME, 266, 36) \
	X(MKDIR, FILE_NAME, 83, -1) X(MKDIRAT, FILE_NAME, 258, 34) \
	X(MKNOD, FILE_NAME, 133, -1) X(MKNODAT, FILE_NAME, 259, 33) \
	X(CHMOD, FILE_NAME, 90, -1) X(FCHMOD, FILE_NAME, 91, 52) X(FCHMODAT, FILE_NAME, 268, 53) \
	X(FCHMODAT2, FILE_NAME, 452, 452) X(PREADV2, READ, 327, 286) X(PWRITEV2, WRITE, 328, 287)

#define PM_CALL_ENUM(name, handler, x86, arm64) PM_CALL_##name,
enum pm_call { PM_CALL_NONE = 0, PM_CALLS(PM_CALL_ENUM) };

/*
 * What could be turned against the collector, by its 32-bit number on x86, which any 64-bit program
 * can use as well: looked at for every process. X(NAME, number)
 */
#define PM_COMPAT_CALLS(X) \
	X(PTRACE, 26) X(INIT_MODULE, 128) X(DELETE_MODULE, 129) X(PROCESS_VM_READV, 347) \
	X(PROCESS_VM_WRITEV, 348) X(FINIT_MODULE, 350) X(BPF, 357) X(PIDFD_GETFD, 438)

/* One row of the table, by the kernel's number of the call. */
struct pm_call_row {
	__u8 call;
	__u8 handler;
	__u8 compat_call; /* what the number means as a 32-bit call */
	__u8 reserved;
};

#endif
