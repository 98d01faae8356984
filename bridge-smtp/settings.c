#include "bridge-smtp/smtpd.h"
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
	const struct config_server *c = &s->config.smtpd.server;
	const struct tls_source source = {c->certificate, c->certificate_key, s->config.keys, s->name};

	return tls_server_from(&s->tls, &source, err);
}

static void set_options(struct settings *s)
{
	const struct config_smtpd *c = &s->config.smtpd;
	const struct smtp_server_options common = {
	    .name = s->name,
	    .max_size = s->config.max_size,
	    .max_recipients = (size_t)c->recipients,
	    .max_messages = (size_t)c->messages,
	    .max_errors = (unsigned)c->server.errors,
	    .newlines = c->normalise ? NEWLINES_NORMALISE : NEWLINES_STRICT,
	    .starttls = true,
	    .auth = true,
	    .etrn = true,
	};

	for (int i = 0; i < SMTPD_SERVICES; i++)
		s->options[i] = common;
	/* A password is never asked for in clear. */
	s->options[LISTEN_SMTP].service = SMTP_SERVICE_RELAY;
	s->options[LISTEN_SMTP].auth_tls = true;
	s->options[LISTEN_SUBMISSION].service = SMTP_SERVICE_SUBMISSION;
	s->options[LISTEN_SUBMISSION].tls_needed = true;
	s->options[LISTEN_SUBMISSION].auth_needed = true;
	s->options[LISTEN_SUBMISSIONS] = s->options[LISTEN_SUBMISSION];
	s->options[LISTEN_LMTP].service = SMTP_SERVICE_LMTP;
	s->options[LISTEN_LMTP].starttls = false;
	s->options[LISTEN_LMTP].auth = false;
	s->options[LISTEN_LMTP].etrn = false;
}

enum outcome settings_load(
    struct settings **settings, const char *path, config_complain *complain, void *context, struct error *err)
{
	struct settings *s = mem_alloc(sizeof *s);
	enum outcome outcome = config_tell(&s->config, path, complain, context, err);

	s->holders = 1;
	if (outcome != OUTCOME_DONE) {
		free(s);
		return outcome;
	}
	s->name = mem_string(config_mail_name(&s->config, s->config.smtpd.server.name));
	set_options(s);
	*settings = s;
	return OUTCOME_DONE;
}
