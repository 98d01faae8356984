#include "lib/net_watch.h"

#include <errno.h>
#ifdef __linux__
#include <sys/inotify.h>
#endif

#include "lib/alloc.h"

struct watch {
	int fd;
	struct event *event;
	void (*changed)(void *context);
	void *context;
};

#ifdef __linux__

static void on_change(evutil_socket_t fd, short what, void *context)
{
	struct watch *w = context;
	char bytes[16384];

	(void)what;
	while (read(fd, bytes, sizeof bytes) > 0)
		;
	w->changed(w->context);
}

enum outcome watch_open(
    struct watch **watch, struct event_base *base, void (*changed)(void *context), void *context, struct error *err)
{
	struct watch *w = mem_alloc(sizeof *w);

	*watch = NULL;
	*w = (struct watch){.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .changed = changed, .context = context};
	if (w->fd < 0) {
		free(w);
		return error_errno(err, errno, "cannot watch directories");
	}
	w->event = event_new(base, w->fd, EV_READ | EV_PERSIST, on_change, w);
	event_add(w->event, NULL);
	*watch = w;
	return OUTCOME_DONE;
}

enum outcome watch_add(struct watch *watch, const struct dir *d, struct error *err)
{
	/* By the descriptor: the path may lead elsewhere by now. */
	char *path = mem_format("/proc/self/fd/%d", d->fd);
	int number = watch == NULL ? 0 : inotify_add_watch(watch->fd, path, IN_MOVED_TO | IN_CREATE | IN_ONLYDIR);

	free(path);
	return number >= 0 ? OUTCOME_DONE : error_errno(err, errno, "cannot watch the directory %s", d->path);
}

#else

enum outcome watch_open(
    struct watch **watch, struct event_base *base, void (*changed)(void *context), void *context, struct error *err)
{
	(void)base;
	(void)changed;
	(void)context;
	(void)err;
	*watch = NULL;
	return OUTCOME_DONE;
}

enum outcome watch_add(struct watch *watch, const struct dir *d, struct error *err)
{
	(void)watch;
	(void)d;
	(void)err;
	return OUTCOME_DONE;
}

#endif

void watch_close(struct watch *watch)
{
	if (watch == NULL)
		return;
	event_free(watch->event);
	close(watch->fd);
	free(watch);
}
