/*
 * Which system calls are looked at, by what program: the one list. User space turns it into the table
 * that the kernel side reads. It guarantees that a call not named here costs one look-up. It must
 * never hold a 32-bit number: those are other calls.
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
	/* Left at once while no trace collects files and nothing is watched. */
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
	PM_HANDLERS = 8,
};

/* X(NAME, handler, number on x86_64, number on arm64); -1 = the call does not exist there. */
#define PM_CALLS(X) \
	X(SETUID, PROCESS, 105, 146) X(SETGID, PROCESS, 106, 144) X(SETREUID, PROCESS, 113, 145) \
	X(SETREGID, PROCESS, 114, 143) X(SETRESUID, PROCESS, 117, 147) X(SETRESGID, PROCESS, 119, 149) \
	X(PTRACE, PROCESS, 101, 117) X(PROCESS_VM_READV, PROCESS, 310, 270) \
	X(PROCESS_VM_WRITEV, PROCESS, 311, 271) X(PIDFD_GETFD, PROCESS, 438, 438) \
	X(BPF, PROCESS, 321, 280) X(INIT_MODULE, PROCESS, 175, 105) X(FINIT_MODULE, PROCESS, 313, 273) \
	X(DELETE_MODULE, PROCESS, 176, 106) X(IO_URING_SETUP, PROCESS, 425, 425) \
	X(ACCEPT, NETWORK, 43, 202) X(ACCEPT4, NETWORK, 288, 242) X(SOCKET, NETWORK, 41, 198) \
	X(BIND, NETWORK, 49, 200) X(LISTEN, NETWORK, 50, 201) X(CONNECT, NETWORK, 42, 203) \
	X(SENDTO, SEND, 44, 206) X(SENDMSG, SEND, 46, 211) X(SENDMMSG, SEND, 307, 269) \
	X(RECVFROM, RECEIVE, 45, 207) X(RECVMSG, RECEIVE, 47, 212) X(RECVMMSG, RECEIVE, 299, 243) \
	X(READ, READ, 0, 63) X(WRITE, WRITE, 1, 64) X(READV, READ, 19, 65) X(WRITEV, WRITE, 20, 66) \
	X(OPEN, FILE, 2, -1) X(OPENAT, FILE, 257, 56) X(OPENAT2, FILE, 437, 437) \
	X(CREAT, FILE, 85, -1) X(RENAME, FILE, 82, -1) X(RENAMEAT, FILE, 264, 38) \
	X(RENAMEAT2, FILE, 316, 276) X(UNLINK, FILE, 87, -1) X(UNLINKAT, FILE, 263, 35)

#define PM_CALL_ENUM(name, handler, x86, arm64) PM_CALL_##name,
enum pm_call { PM_CALL_NONE = 0, PM_CALLS(PM_CALL_ENUM) };

/* One row of the table, by the kernel's number of the call. */
struct pm_call_row {
	__u8 call;
	__u8 handler;
};

#endif
