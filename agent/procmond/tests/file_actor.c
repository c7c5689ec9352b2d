/*
 * file_actor: file calls that no shell command makes, for the live test of files. It guarantees to
 * make exactly the call it is asked for. It must never touch anything outside the paths it is given.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int opened(int fd)
{
	if (fd < 0) {
		fprintf(stderr, "file_actor: %s\n", strerror(errno));
		return 1;
	}
	close(fd);
	return 0;
}

static int act_openat2(const char *path)
{
	struct open_how how = {.flags = O_RDWR | O_CREAT, .mode = 0600};

	return opened((int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)));
}

/* A file without a name, given one afterwards by its descriptor. */
static int act_tmpfile(const char *directory, const char *path)
{
	int fd = open(directory, O_TMPFILE | O_RDWR, 0600);

	if (fd < 0 || linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH))
		return opened(-1);
	return opened(fd);
}

static int act_fchmod(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fchmod(fd, 0755))
		return opened(-1);
	return opened(fd);
}

/* Opens by openat2 with these flags and nothing else. */
static int act_openat2_as(const char *path, int flags)
{
	struct open_how how = {.flags = (unsigned)flags};

	return opened((int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)));
}

static struct {
	struct open_how how;
	const char *path;
	int lie;
	int release;
} rewrite;

/* Whether a thread sleeps, as one does that waits for the other side of a FIFO. */
static int is_asleep(pid_t tid)
{
	char path[64], text[256] = "", *end;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return 0;
	close(fd);
	end = strrchr(text, ')');
	return end && end[2] == 'S';
}

static void *rewrite_and_release(void *argument)
{
	(void)argument;
	/* The main thread, whose number is the process's, is then inside the call. */
	for (int i = 0; i < 30000 && !is_asleep(getpid()); i++)
		usleep(1000);
	*(volatile unsigned long long *)&rewrite.how.flags = (unsigned)rewrite.lie;
	opened(open(rewrite.path, rewrite.release));
	return NULL;
}

/* Opens a FIFO by openat2, which waits for its other side while another thread rewrites the flags. */
static int act_rewrite(const char *path, int flags, int lie)
{
	pthread_t thread;
	int fd;

	rewrite.how.flags = (unsigned)flags;
	rewrite.path = path;
	rewrite.lie = lie;
	rewrite.release = (flags & O_ACCMODE) == O_RDONLY ? O_WRONLY : O_RDONLY;
	pthread_create(&thread, NULL, rewrite_and_release, NULL);
	fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &rewrite.how, sizeof(rewrite.how));
	pthread_join(thread, NULL);
	return opened(fd);
}

struct handle_row {
	struct file_handle handle;
	unsigned char bytes[MAX_HANDLE_SZ];
};

/* Writes the handle of a file to standard output. */
static int act_handle_of(const char *path)
{
	struct handle_row row = {.handle.handle_bytes = MAX_HANDLE_SZ};
	int mount;

	if (name_to_handle_at(AT_FDCWD, path, &row.handle, &mount, 0))
		return opened(-1);
	return write(1, &row, sizeof(row)) == sizeof(row) ? 0 : 1;
}

/* Opens what the handle on standard input says, in the filesystem of a directory. */
static int act_by_handle(const char *directory, int flags)
{
	struct handle_row row;
	int at = open(directory, O_RDONLY | O_DIRECTORY);

	if (at < 0 || read(0, &row, sizeof(row)) != sizeof(row))
		return opened(-1);
	return opened(open_by_handle_at(at, &row.handle, flags));
}

/* Makes directories below each other until the path is longer than any string may be. */
static int act_deep(const char *directory)
{
	char name[251];

	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	if (chdir(directory))
		return opened(-1);
	for (int i = 0; i < 20; i++)
		if (mkdir(name, 0755) || chdir(name))
			return opened(-1);
	if (opened(creat("deep", 0600)))
		return 1;
	return rename("deep", "deeper") ? opened(-1) : 0;
}

static struct {
	char *shared;
	const char *names[2];
	volatile int stop;
} race;

static void *swap(void *argument)
{
	(void)argument;
	for (unsigned i = 0; !race.stop; i++)
		memcpy(race.shared, race.names[i & 1], strlen(race.names[0]));
	return NULL;
}

/* Makes directories of a name that another thread swaps all the while; both have one length. */
static int act_swap(const char *first, const char *second, int count)
{
	pthread_t thread;

	race.names[0] = first;
	race.names[1] = second;
	race.shared = strdup(first);
	pthread_create(&thread, NULL, swap, NULL);
	for (int i = 0; i < count; i++) {
		mkdir(race.shared, 0700);
		rmdir(first);
		rmdir(second);
	}
	race.stop = 1;
	pthread_join(thread, NULL);
	return 0;
}

static void *answer_fault(void *argument)
{
	int fd = *(int *)argument;
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};
	struct uffd_msg message;
	static char page[4096] __attribute__((aligned(4096)));
	struct uffdio_copy copy = {.src = (unsigned long)page, .len = sizeof(page)};

	snprintf(page, sizeof(page), "%s", race.names[0]);
	if (poll(&pollfd, 1, 30000) != 1 || read(fd, &message, sizeof(message)) != sizeof(message))
		return NULL;
	copy.dst = message.arg.pagefault.address & ~4095ul;
	ioctl(fd, UFFDIO_COPY, &copy);
	return NULL;
}

/* Unlinks by a name whose page is not there when the call begins: nobody can read it at entry. */
static int act_absent(const char *path)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;

	reg.range.start = (unsigned long)page;
	reg.range.len = 4096;
	race.names[0] = path;
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		return opened(-1);
	pthread_create(&thread, NULL, answer_fault, &fd);
	if (unlink(page))
		return opened(-1);
	pthread_join(thread, NULL);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	if (!strcmp(what, "openat2"))
		return act_openat2(argv[2]);
	if (!strcmp(what, "creat"))
		return opened(creat(argv[2], 0600));
	if (!strcmp(what, "open-path"))
		return opened(open(argv[2], O_PATH));
	if (!strcmp(what, "read"))
		return opened(open(argv[2], O_RDONLY));
	if (!strcmp(what, "fchmod"))
		return act_fchmod(argv[2]);
	if (!strcmp(what, "absent"))
		return act_absent(argv[2]);
	if (!strcmp(what, "tmpfile") && argc > 3)
		return act_tmpfile(argv[2], argv[3]);
	if (!strcmp(what, "openat2-as") && argc > 3)
		return act_openat2_as(argv[2], atoi(argv[3]));
	if (!strcmp(what, "rewrite") && argc > 4)
		return act_rewrite(argv[2], atoi(argv[3]), atoi(argv[4]));
	if (!strcmp(what, "handle-of"))
		return act_handle_of(argv[2]);
	if (!strcmp(what, "by-handle") && argc > 3)
		return act_by_handle(argv[2], atoi(argv[3]));
	if (!strcmp(what, "deep"))
		return act_deep(argv[2]);
	if (!strcmp(what, "swap") && argc > 4)
		return act_swap(argv[2], argv[3], atoi(argv[4]));
	fprintf(stderr, "file_actor: openat2|creat|open-path|read|fchmod|absent|handle-of|deep PATH |\n"
			"            tmpfile DIR PATH | swap PATH PATH N | openat2-as PATH FLAGS |\n"
			"            rewrite FIFO FLAGS LIE | by-handle DIR FLAGS\n");
	return 2;
}
