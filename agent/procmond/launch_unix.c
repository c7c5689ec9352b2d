/*
 * The two ends of the link between units, see launch_unix.h. SO_PEERCRED names the uid that
 * connected, or that called listen: the kernel fills it in at that moment, so neither side can
 * claim to be another. Its pid is a number that may be reused and is only ever printed.
 */
#include "launch_unix.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Units start side by side: the listener is given this long to appear. */
#define CONNECT_WAIT_MS 10000
#define CONNECT_RETRY_MS 100
/* A member of the group who is not the agent can only make procmond write so many lines. */
#define REFUSAL_PAUSE_MS 200
#define BACKLOG 4

static int fail(const char *what, const char *path, const char *advice)
{
	fprintf(stderr, "launch: %s %s (%s); %s.\n", what, path, strerror(errno), advice);
	return -1;
}

static void pause_ms(long ms)
{
	struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&pause, NULL);
}

static bool address_of(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	errno = ENAMETOOLONG;
	if (strlen(path) >= sizeof(address->sun_path))
		return false;
	strcpy(address->sun_path, path);
	return true;
}

/* Whoever may write the directory could put a socket of their own in the place of ours. */
static bool is_private_place(const char *path)
{
	struct sockaddr_un copy;
	struct stat st;

	if (!address_of(path, &copy))
		return false;
	if (stat(dirname(copy.sun_path), &st))
		return false;
	errno = EPERM;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Removes the socket of a listener that was killed; anything else is left alone. */
static bool clear_place(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		return errno == ENOENT;
	errno = EEXIST;
	return S_ISSOCK(st.st_mode) && st.st_uid == geteuid() && !unlink(path);
}

static bool peer_is(int fd, const struct launch_user *peer, struct ucred *credentials)
{
	socklen_t bytes = sizeof(*credentials);

	*credentials = (struct ucred){.uid = (uid_t)-1};
	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, &bytes) &&
	       bytes == sizeof(*credentials) && credentials->uid == peer->uid;
}

static int open_listener(const char *path, const struct launch_user *peer)
{
	struct sockaddr_un address;
	int fd;

	if (!is_private_place(path))
		return fail("this is no place for a socket:", path,
			    "use a directory that only its owner, who runs this, may write");
	if (!clear_place(path))
		return fail("the place of the socket is taken:", path, "remove what is there");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	umask(0177);
	/* Without CAP_CHOWN the unit's own group has to be the peer's already. */
	if (fd < 0 || !address_of(path, &address) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    (getegid() != peer->gid && chown(path, (uid_t)-1, peer->gid)) ||
	    chmod(path, 0660) || listen(fd, BACKLOG))
		return fail("the socket cannot be made at", path,
			    "check the directory and run this as root or in the peer's group");
	return fd;
}

int launch_listen(const char *path, const struct launch_user *peer)
{
	int listener = open_listener(path, peer);
	struct ucred credentials;
	int fd = -1;

	while (listener >= 0) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && errno != EINTR && errno != ECONNABORTED) {
			fail("no connection can be accepted at", path, "raise the descriptor limit");
			break;
		}
		if (fd < 0)
			continue;
		if (peer_is(fd, peer, &credentials))
			break;
		fprintf(stderr, "launch: a connection of uid %u (pid %d) at %s was refused; only uid %u "
				"is served.\n", credentials.uid, credentials.pid, path, peer->uid);
		close(fd);
		pause_ms(REFUSAL_PAUSE_MS);
	}
	/* One connection is all: a second agent finds nobody instead of waiting in a queue. */
	if (listener >= 0) {
		unlink(path);
		close(listener);
	}
	return fd;
}

int launch_connect(const char *path, const struct launch_user *peer)
{
	struct sockaddr_un address;
	struct ucred credentials;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || !address_of(path, &address))
		return fail("no socket can be made for", path, "use a shorter path");
	for (int waited_ms = 0; connect(fd, (struct sockaddr *)&address, sizeof(address));
	     waited_ms += CONNECT_RETRY_MS) {
		if ((errno != ENOENT && errno != ECONNREFUSED && errno != EINTR) ||
		    waited_ms >= CONNECT_WAIT_MS) {
			fail("there is no procmond to connect to at", path,
			     "start its unit, and check that this user is in the socket's group");
			close(fd);
			return -1;
		}
		pause_ms(CONNECT_RETRY_MS);
	}
	if (peer_is(fd, peer, &credentials))
		return fd;
	fprintf(stderr, "launch: uid %u listens at %s instead of uid %u; find out who that is before "
			"the agent is started again.\n", credentials.uid, path, peer->uid);
	close(fd);
	return -1;
}
