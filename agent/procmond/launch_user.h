/*
 * Whom the agent runs as, and what it gives up before it begins. It guarantees that after
 * launch_user_become no capability is held or can be gained again. It must never go on when
 * something that was asked for was refused.
 */
#ifndef PROCMOND_LAUNCH_USER_H
#define PROCMOND_LAUNCH_USER_H

#include <stdbool.h>
#include <sys/types.h>

struct launch_user {
	bool named; /* false = stay who we are */
	uid_t uid;
	gid_t gid;
};

/* A name, or a number that needs no account: its group is then the same number. */
bool launch_user_find(const char *text, struct launch_user *user);

/*
 * Becomes the user without any capability, bounding set included, and without any way to new
 * privileges. False with errno, and `what` naming the step that was refused.
 */
bool launch_user_become(const struct launch_user *user, const char **what);

#endif
