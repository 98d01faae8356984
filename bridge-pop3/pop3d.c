#include "bridge-pop3/pop3d.h"

#include "lib/alloc.h"

/* Descriptors that connections leave to the rest; a session that is logged in has two or three of its own besides. */
#define FILES_KEPT 64

static void complain(void *context, const char *sentence)
{
	(void)context;
	fprintf(stderr, "packetboat-pop3d: %s\n", sentence);
}

static void log_complaint(void *context, const char *sentence)
{
	log_event(context, "pop3d", "trouble", "reason", sentence);
}

/* ---- what the server asks -------------------------------------------------------------------------------- */

static enum outcome on_reload(void *context, struct error *err)
{
	struct pop3d *d = context;
	struct settings *settings = NULL;
	enum outcome outcome = settings_load(&settings, d->config_path, log_complaint, &d->queue.log, err);

	if (outcome == OUTCOME_DONE)
		outcome = settings_tls(settings, err);
	if (outcome == OUTCOME_DONE) {
		const struct strings *listen = &settings->config.pop3d.server.listen;

		outcome = server_listen(d->server, listen->items, listen->count, err);
	}
	if (outcome != OUTCOME_DONE) {
		settings_drop(settings);
		return outcome;
	}
	settings_drop(d->settings);
	d->settings = settings;
	return OUTCOME_DONE;
}

static void on_swept(void *context)
{
	queue_follow_log(&((struct pop3d *)context)->queue);
}

static int service_of(const char *text, const char **address)
{
	return (int)listen_pop3(text, address);
}

/* ---- beginning and ending -------------------------------------------------------------------------------- */

static enum outcome load_tls(void *context, struct error *err)
{
	return settings_tls(((struct pop3d *)context)->settings, err);
}

static enum outcome parts_start(void *context, bool verbose, struct error *err)
{
	struct pop3d *d = context;
	const struct config *c = &d->settings->config;
	enum outcome outcome = queue_open(&d->queue, c->spool, c->host, err);

	d->queue_is_open = outcome == OUTCOME_DONE;
	d->queue.log.echo = verbose;
	if (outcome == OUTCOME_DONE)
		outcome = maildrop_workers_start(&d->workers, server_base(d->server), &d->queue.mail, err);
	if (outcome == OUTCOME_DONE)
		outcome = logins_start(&d->logins, server_base(d->server), &session_login_calls, err);
	return outcome;
}

static enum outcome begin(struct pop3d *d, const struct server_start *start, struct error *err)
{
	const struct config_server *c = &d->settings->config.pop3d.server;
	const struct server_plan plan = {
	    .listen = c->listen.items,
	    .listen_count = c->listen.count,
	    .user = c->user,
	    .group = c->group,
	    .spool = d->settings->config.spool,
	    .own_key = c->certificate == NULL,
	    .load_tls = load_tls,
	    .load_rest = parts_start,
	};

	return server_begin(d->server, start, &plan, err);
}

static void parts_stop(struct pop3d *d)
{
	server_drop(d->server);
	logins_stop(d->logins);
	maildrop_workers_stop(d->workers);
	if (d->queue_is_open)
		queue_close(&d->queue);
	settings_drop(d->settings);
	server_free(d->server);
	free(d->chunk);
}

const char *const pop3d_services[] = {"pop3", "pop3s", NULL};

enum outcome pop3d_serve(const struct server_start *start, struct error *err)
{
	struct pop3d d = {.config_path = start->config_path};
	struct server_calls calls = session_calls;
	const struct server_options options = {
	    .name = "pop3d",
	    .config_path = start->config_path,
	    .example = "127.0.0.1:2110",
	    .services = pop3d_services,
	    .service = service_of,
	    .session_size = session_size,
	    .files_kept = FILES_KEPT,
	    .calls = &calls,
	    .context = &d,
	};
	enum outcome outcome;

	calls.reload = on_reload;
	calls.swept = on_swept;
	d.chunk = mem_alloc(POP3D_CHUNK);
	server_make(&d.server, &options);
	outcome = settings_load(&d.settings, start->config_path, complain, NULL, err);
	if (outcome == OUTCOME_DONE)
		outcome = begin(&d, start, err);
	if (outcome == OUTCOME_DONE && start->alone)
		server_run_alone(d.server, start->service, &d.queue.log);
	else if (outcome == OUTCOME_DONE)
		server_run(d.server, &d.queue.log);
	parts_stop(&d);
	return outcome;
}
