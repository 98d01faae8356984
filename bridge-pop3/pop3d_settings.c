#include "bridge-pop3/pop3d.h"
#include "lib/alloc.h"

struct settings *settings_hold(struct settings *s)
{
	s->holders++;
	return s;
}

void settings_drop(struct settings *s)
{
	if (s == NULL || --s->holders > 0)
		return;
	tls_drop(s->tls);
	free(s->name);
	config_release(&s->config);
	free(s);
}

enum outcome settings_tls(struct settings *s, struct error *err)
{
	const struct config_server *c = &s->config.pop3d.server;
	const struct tls_source source = {c->certificate, c->certificate_key, s->config.keys, s->name};

	return tls_server_from(&s->tls, &source, err);
}

static void set_options(struct settings *s)
{
	const struct config_pop3d *c = &s->config.pop3d;

	s->far_options = (struct pop3_server_options){
	    .name = s->name,
	    .stls = true,
	    .clear_passwords = c->clear_passwords,
	    .max_errors = (unsigned)c->server.errors,
	};
	s->near_options = s->far_options;
	s->near_options.clear_passwords = true;
}

enum outcome settings_load(
    struct settings **settings, const char *path, config_complain *complain, void *context, struct error *err)
{
	struct settings *s = mem_alloc(sizeof *s);
	enum outcome outcome = config_tell(&s->config, path, complain, context, err);

	if (outcome != OUTCOME_DONE) {
		free(s);
		return outcome;
	}
	s->holders = 1;
	s->name = mem_string(config_mail_name(&s->config, s->config.pop3d.server.name));
	set_options(s);
	*settings = s;
	return OUTCOME_DONE;
}
