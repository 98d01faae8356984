#include <errno.h>
#include <fcntl.h>

#include "lib/alloc.h"
#include "lib/daemon.h"
#include "lib/text.h"
#include "queue/maildir.h"
#include "queue/route.h"
#include "queue/users.h"
#include "tools/health.h"

/* What is wrong with PATH below MAIL, for OWNER; null: nothing. The caller frees it. */
static char *fault_of(const struct dir *mail, const char *path, uid_t owner)
{
	char who[DAEMON_USER];
	char other[DAEMON_USER];
	struct stat st;
	int failed = fstatat(mail->fd, path, &st, 0) == 0 ? 0 : errno;

	daemon_user_name(owner, who);
	if (failed == ENOENT && fstatat(mail->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return mem_format("%s/%s is a link that leads to what is not there", mail->path, path);
	if (failed == ENOENT)
		return mem_format(
		    "%s/%s is not there; as %s, mkdir -m 700 %s/%s", mail->path, path, who, mail->path, path);
	if (failed != 0)
		return mem_format("cannot look at %s/%s: %s", mail->path, path, strerror(failed));
	if (!S_ISDIR(st.st_mode))
		return mem_format("%s/%s is no directory; move it away, and as %s, mkdir -m 700 %s/%s", mail->path,
		    path, who, mail->path, path);
	daemon_user_name(st.st_uid, other);
	if (st.st_uid != owner)
		return mem_format("%s/%s belongs to %s, and the spool to %s; chown %s %s/%s", mail->path, path, other,
		    who, who, mail->path, path);
	if ((st.st_mode & S_IRWXU) != S_IRWXU)
		return mem_format(
		    "%s/%s does not let %s, who owns the spool, read and write (mode %04o); chmod u+rwx %s/%s",
		    mail->path, path, who, (unsigned)(st.st_mode & 07777), mail->path, path);
	return NULL;
}

static void look_at(const struct queue *q, const char *name, uid_t owner, health_tell *tell, void *context)
{
	static const char *const parts[] = {"", "/new", "/cur", "/tmp"};
	char *fault = NULL;

	for (size_t i = 0; i < sizeof parts / sizeof parts[0] && fault == NULL; i++) {
		char *path = mem_format("%s%s", name, parts[i]);

		fault = fault_of(&q->mail, path, owner);
		free(path);
	}
	if (fault != NULL) {
		char *sentence = mem_format("mailbox of %s: %s", name, fault);

		tell(context, HEALTH_ERROR, sentence);
		free(sentence);
	}
	free(fault);
}

void health_mailboxes(const struct config *config, const struct queue *q, health_tell *tell, void *context)
{
	struct users users;
	struct error err = ERROR_NONE;
	struct names names = {0};
	struct stat spool;

	/* Without the file nobody has a password. */
	(void)users_open(&users, NULL, config->users, USERS_READ, &err);
	if (fstat(q->spool.fd, &spool) != 0 || mailbox_names(q, &names, NULL) != OUTCOME_DONE)
		names = (struct names){0};
	for (size_t i = 0; i < names.count; i++) {
		bool known = users_find(&users, names.items[i], NULL, NULL);
		bool found = false;

		/* Without "new" it is a box only if somebody thinks that it is his. */
		if (maildir_look(&q->mail, names.items[i], &found, NULL) != OUTCOME_DONE || found || known)
			look_at(q, names.items[i], spool.st_uid, tell, context);
	}
	names_release(&names);
	users_close(&users);
}

enum outcome mailbox_names(const struct queue *q, struct names *names, struct error *err)
{
	struct names all;
	enum outcome outcome = dir_names(&q->mail, &all, err);

	*names = (struct names){0};
	for (size_t i = 0; i < all.count && outcome == OUTCOME_DONE; i++)
		/* What file systems have at their top is no user's. */
		if (user_name_valid(all.items[i]) && strcmp(all.items[i], "lost+found") != 0)
			names_add(names, all.items[i]);
	names_release(&all);
	return outcome;
}
