/*
 * A link between two separately started halves: procmond's side listens, the agent's side
 * connects, and each asks the kernel who the other is. It guarantees that nobody but the named
 * user is ever handed a link. It must never carry a byte itself.
 */
#ifndef PROCMOND_LAUNCH_UNIX_H
#define PROCMOND_LAUNCH_UNIX_H

#include "launch_user.h"

/* Waits for one connection of the user at a socket 0660 of its group. -1 after one sentence. */
int launch_listen(const char *path, const struct launch_user *peer);

/* Connects to a socket on which the user listens. -1 after one sentence. */
int launch_connect(const char *path, const struct launch_user *peer);

#endif
