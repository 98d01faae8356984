/*
 * disk DIR: what the file system of DIR can do, measured for about two seconds each, a line for each:
 *
 *	files-1 N      messages of 5 kB a second, each its own file: create, write, fsync, rename, fsync of the directory; 1 thread
 *	files-16 N     the same by 16 threads
 *	appended-50 N  messages of 5 kB a second, appended to one file, 50 of them with one write and one fdatasync
 *
 * All is removed again.
 */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/alloc.h"

#define MESSAGE	   5000
#define TOGETHER   50
#define SECONDS	   2.0
#define MOST	   16
#define APPEND_MAX (512 << 20)

static atomic_bool stop;
static int top;
static char octets[MESSAGE * TOGETHER];

struct worker {
	pthread_t thread;
	int number;
	uint64_t done;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* All threads into one directory, as a queue has it. */
static void *make_files(void *context)
{
	struct worker *w = context;
	char temporary[40];
	char name[40];

	snprintf(temporary, sizeof temporary, "t%d", w->number);
	for (; !stop; w->done++) {
		int fd = openat(top, temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		snprintf(name, sizeof name, "m%d.%llu", w->number, (unsigned long long)w->done);
		if (fd < 0 || write(fd, octets, MESSAGE) != MESSAGE || fsync(fd) != 0 || close(fd) != 0 ||
		    renameat(top, temporary, top, name) != 0 || fsync(top) != 0)
			err(73, "%s", name);
	}
	return NULL;
}

static void remove_files(const struct worker *w)
{
	char name[40];

	for (uint64_t i = 0; i < w->done; i++) {
		snprintf(name, sizeof name, "m%d.%llu", w->number, (unsigned long long)i);
		unlinkat(top, name, 0);
	}
}

static void files(int threads)
{
	struct worker workers[MOST] = {0};
	struct timespec pause = {.tv_sec = (time_t)SECONDS};
	double begun = now();
	uint64_t all = 0;

	stop = false;
	for (int i = 0; i < threads; i++) {
		workers[i].number = i;
		if (pthread_create(&workers[i].thread, NULL, make_files, &workers[i]) != 0)
			errx(71, "cannot start a thread");
	}
	nanosleep(&pause, NULL);
	stop = true;
	for (int i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		all += workers[i].done;
	}
	printf("files-%d %.0f\n", threads, (double)all / (now() - begun));
	fflush(stdout);
	for (int i = 0; i < threads; i++)
		remove_files(&workers[i]);
}

static void append(void)
{
	int fd = openat(top, "log", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	double begun = now();
	double passed = 0;
	uint64_t all = 0;

	if (fd < 0)
		err(73, "log");
	/* Bounded also where the disk is very fast. */
	while (passed < SECONDS && all * MESSAGE < APPEND_MAX) {
		if (write(fd, octets, sizeof octets) != (ssize_t)sizeof octets || fdatasync(fd) != 0)
			err(73, "log");
		all += TOGETHER;
		passed = now() - begun;
	}
	printf("appended-%d %.0f\n", TOGETHER, (double)all / passed);
	close(fd);
	unlinkat(top, "log", 0);
}

int main(int argc, char **argv)
{
	char *path;

	if (argc != 2)
		errx(64, "usage: disk DIR");
	path = mem_format("%s/packetboat-disk-XXXXXX", argv[1]);
	if (mkdtemp(path) == NULL || (top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		err(73, "%s", path);
	memset(octets, 'x', sizeof octets);
	files(1);
	files(MOST);
	append();
	close(top);
	if (rmdir(path) != 0)
		err(73, "%s", path);
	free(path);
	return 0;
}
