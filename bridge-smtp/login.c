#include "bridge-smtp/login.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "queue/users.h"

struct login {
	struct job job;
	char *path;
	char *user;
	char *password;
	login_done *done;
	void *owner; /* null: forgotten */
	enum outcome outcome;
	struct error err;
};

struct logins {
	struct worker *worker;
};

static void wipe(struct login *login)
{
	sodium_memzero(login->password, strlen(login->password));
}

static void work(void *context, struct worker *w, struct job *jobs)
{
	(void)context;
	while (jobs != NULL) {
		struct login *login = (struct login *)jobs;

		jobs = jobs->next;
		login->outcome = users_login(login->path, login->user, login->password, &login->err);
		wipe(login);
		worker_done(w, &login->job);
	}
}

static void on_done(void *context, struct job *job)
{
	struct login *login = (struct login *)job;

	(void)context;
	if (login->owner != NULL)
		login->done(login->owner, login->outcome, &login->err);
	free(login->path);
	free(login->user);
	free(login->password);
	free(login);
}

enum outcome logins_start(struct logins **l, struct event_base *base, struct error *err)
{
	static const struct worker_calls calls = {work, on_done, 0};
	struct logins *new = mem_alloc(sizeof *new);
	enum outcome outcome = worker_start(&new->worker, base, &calls, new, err);

	if (outcome == OUTCOME_DONE)
		*l = new;
	else
		free(new);
	return outcome;
}

void logins_stop(struct logins *l)
{
	if (l == NULL)
		return;
	worker_stop(l->worker);
	free(l);
}

struct login *login_begin(
    struct logins *l, const char *path, const char *user, const char *password, login_done *done, void *owner)
{
	struct login *login = mem_alloc(sizeof *login);

	*login = (struct login){
	    .path = mem_string(path),
	    .user = mem_string(user),
	    .password = mem_string(password),
	    .done = done,
	    .owner = owner,
	};
	worker_give(l->worker, &login->job);
	return login;
}

void login_forget(struct login *login)
{
	if (login != NULL)
		login->owner = NULL;
}
