/*
 * Becoming an unprivileged agent, see launch_user.h. The order matters: the bounding set and the
 * groups can only be given up by someone who is still privileged, the uid goes then, and what is
 * left of the capabilities last. It must never trust that a step worked: the result is read back.
 */
#include "launch_user.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* (uid_t)-1 means "leave it" to setresuid, so it can be nobody's number. */
#define UID_LAST 0xfffffffeul

bool launch_user_find(const char *text, struct launch_user *user)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);
	bool is_number = *text >= '0' && *text <= '9' && !*end && number <= UID_LAST;
	struct passwd *account = is_number ? getpwuid((uid_t)number) : getpwnam(text);

	if (!account && !is_number)
		return false;
	*user = (struct launch_user){true, account ? account->pw_uid : (uid_t)number,
				     account ? account->pw_gid : (gid_t)number};
	return true;
}

static bool capabilities(struct __user_cap_data_struct data[2], long call)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};

	return !syscall(call, &header, data);
}

/* Refused without CAP_SETPCAP, which is no loss: whoever lacks it and everything else is done. */
static bool empty_bounding_set(bool may)
{
	for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
		if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) && may)
			return false;
	return true;
}

static bool change_user(const struct launch_user *user)
{
	bool is_same = !user->named || (user->uid == getuid() && user->uid == geteuid());

	/* An unprivileged launcher can stay who it is, and keeps its groups. */
	if (is_same && getuid())
		return true;
	if (setgroups(0, NULL))
		return false;
	if (!user->named)
		return true;
	return !setresgid(user->gid, user->gid, user->gid) &&
	       !setresuid(user->uid, user->uid, user->uid);
}

static bool is_powerless(const struct launch_user *user)
{
	struct __user_cap_data_struct left[2] = {{~0u, ~0u, ~0u}, {~0u, ~0u, ~0u}};
	uid_t real, effective, saved;

	if (!capabilities(left, SYS_capget) || getresuid(&real, &effective, &saved))
		return false;
	errno = EPERM;
	for (int i = 0; i < 2; i++)
		if (left[i].effective | left[i].permitted | left[i].inheritable)
			return false;
	return !user->named || (real == user->uid && effective == real && saved == real);
}

/* A supervisor's "end with me" is forgotten by the kernel when the user changes: asked for again. */
static void keep_parent_death_signal(int signal_number, pid_t parent)
{
	if (!signal_number)
		return;
	prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0);
	/* It may have ended in between. */
	if (getppid() != parent)
		raise(signal_number);
}

bool launch_user_become(const struct launch_user *user, const char **what)
{
	pid_t parent = getppid();
	int death_signal = 0;
	struct __user_cap_data_struct held[2] = {{0}}, none[2] = {{0}};
	bool may;

	if (*what = "its capabilities cannot be read", !capabilities(held, SYS_capget))
		return false;
	may = held[0].effective & 1u << CAP_SETPCAP;
	if (*what = "the bounding set cannot be emptied", !empty_bounding_set(may))
		return false;
	/* Nobody regains capabilities by being or becoming uid 0 from here on. */
	if (*what = "the securebits cannot be locked",
	    prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
		  SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED, 0, 0, 0) && may)
		return false;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0);
	if (*what = "the user cannot be changed", !change_user(user))
		return false;
	/* Not asked when there is nothing to give up: a unit's own filter may refuse the question. */
	if (*what = "the capabilities cannot be given up",
	    memcmp(held, none, sizeof(none)) && !capabilities(none, SYS_capset))
		return false;
	if (*what = "new privileges cannot be ruled out", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return false;
	keep_parent_death_signal(death_signal, parent);
	*what = "something was kept that should be gone";
	return is_powerless(user);
}
