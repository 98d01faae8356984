#include "bridge-pop3/fetch_address.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/address.h"
#include "queue/header.h"

/* ---- the sender ------------------------------------------------------------------------------------------- */

/* An address that a report could be sent to, or the null sender; null: neither. */
static char *path_read(struct view body)
{
	struct buf text;
	struct address a;
	char *path = NULL;

	buf_init(&text, LIMIT_ADDRESS + 200);
	header_unfold(body, &text);
	if (!text.failed && address_parse_path(&a, view_buf(&text), NULL) == OUTCOME_DONE) {
		if (a.kind == ADDRESS_NULL)
			path = mem_string("");
		else if (a.kind == ADDRESS_MAILBOX)
			path = mem_format("%.*s@%.*s", (int)a.local.length, (const char *)a.local.bytes,
			    (int)a.domain.length, (const char *)a.domain.bytes);
	}
	buf_release(&text);
	return path;
}

static void sender_read(struct fetch_address *a, struct view section)
{
	struct view rest = section;
	struct view name;
	struct view body;

	while (a->sender == NULL && header_next(&rest, &name, &body)) {
		if (!view_same(name, view_text("Return-Path")))
			continue;
		a->sender = path_read(body);
		if (a->sender != NULL)
			a->return_path = view_of(name.bytes, (size_t)(rest.bytes - name.bytes));
		break;
	}
	if (a->sender == NULL)
		a->sender = mem_string("");
}

/* ---- the recipients of a multidrop box --------------------------------------------------------------------- */

struct multidrop {
	struct fetch_address *a;
	const struct config *config;
	const struct config_fetch *box;
	const struct dir *mail;
	enum outcome outcome; /* LATER: cannot be judged */
	struct error *err;
	char *lost;  /* what was wrong with the first that will not do */
	bool missed; /* somebody at home here, or who cannot be told: `to` gets it for him */
};

/* Who lives elsewhere gets his copy there; that he is named here loses nothing while somebody else is served. */
static void lose(struct multidrop *m, bool missed, const char *address, const char *why)
{
	if (m->lost != NULL && (m->missed || !missed))
		return;
	free(m->lost);
	m->lost = mem_format("%s: %s: %s", m->box->multidrop, address, why);
	m->missed = missed;
}

static void refuse(struct multidrop *m, const char *address, const char *why)
{
	const char *at = strrchr(address, '@');
	bool here = at == NULL || config_is_local(m->config, view_text(at + 1));

	lose(m, here, address,
	    here ? why : "mail for this domain is not taken here; the option domain may be missing");
}

/* What the provider put before the address is taken off, its domain replaced. Null: it is no address. */
static char *own_form(const struct config_fetch *box, struct view text)
{
	struct address a;
	struct view local;
	struct view domain;
	size_t prefix = box->prefix == NULL ? 0 : strlen(box->prefix);

	if (address_parse(&a, text, NULL) != OUTCOME_DONE || a.kind == ADDRESS_NULL)
		return NULL;
	local = a.domain.length > 0 ? a.local : text;
	domain = box->domain == NULL ? a.domain : view_text(box->domain);
	if (prefix > 0 && local.length > prefix && view_same(view_of(local.bytes, prefix), view_text(box->prefix)))
		local = view_from(local, prefix);
	return mem_format("%.*s%s%.*s", (int)local.length, (const char *)local.bytes, domain.length > 0 ? "@" : "",
	    (int)domain.length, (const char *)domain.bytes);
}

static void on_recipient(void *context, struct view text)
{
	struct multidrop *m = context;
	struct judgement j;
	struct buf shown;
	char *address;

	if (m->outcome != OUTCOME_DONE)
		return;
	address = own_form(m->box, text);
	if (address == NULL) {
		buf_init(&shown, LIMIT_REASON);
		text_visible(text, LIMIT_REASON, &shown);
		lose(m, true, buf_string(&shown), "no mail address");
		buf_release(&shown);
		return;
	}
	judge_recipient(&j, m->config, m->mail, address, JUDGE_STRANGER, 0);
	if (j.outcome == OUTCOME_LATER) {
		m->outcome = error_set(m->err, EX_TEMPFAIL, "%s cannot be judged now: %s", address, j.text);
	} else if (j.outcome == OUTCOME_NEVER) {
		refuse(m, address, j.text);
	} else if (strings_contain(&m->a->recipients, address)) {
		/* Once is enough. */
	} else if (m->a->recipients.count == FETCH_RECIPIENTS) {
		lose(m, true, address, "more recipients than are taken");
	} else {
		strings_add(&m->a->recipients, address);
		if (j.max_size > m->a->max_size)
			m->a->max_size = j.max_size;
	}
	free(address);
}

static enum outcome recipients_read(struct multidrop *m, struct view section)
{
	struct view body;

	if (!header_find(section, m->box->multidrop, &body)) {
		m->lost = mem_format("it has no field %s", m->box->multidrop);
		return OUTCOME_DONE;
	}
	if (address_list(body, on_recipient, m, NULL) != OUTCOME_DONE)
		lose(m, true, "the field", "malformed");
	if (m->a->recipients.count == 0)
		lose(m, true, "the field", "empty");
	return m->outcome;
}

enum outcome fetch_address_check(const struct config *c, const struct config_fetch *box, const struct dir *mail,
    uint64_t *max_size, struct error *err)
{
	struct judgement j;

	judge_recipient(&j, c, mail, box->to, JUDGE_KNOWN, 0);
	*max_size = j.max_size;
	if (j.outcome == OUTCOME_DONE)
		return OUTCOME_DONE;
	return error_set(err, j.outcome == OUTCOME_LATER ? EX_TEMPFAIL : EX_CONFIG,
	    "%s: fetch \"%s\": to = \"%s\": %s", box->where, box->name, box->to, j.text);
}

enum outcome fetch_address_read(struct fetch_address *a, const struct config *c, const struct config_fetch *box,
    const struct dir *mail, struct view section, struct error *err)
{
	struct multidrop m = {.a = a, .config = c, .box = box, .mail = mail, .err = err};
	enum outcome outcome = OUTCOME_DONE;

	*a = (struct fetch_address){0};
	sender_read(a, section);
	if (box->multidrop != NULL)
		outcome = recipients_read(&m, section);
	if (a->recipients.count > 0 && !m.missed) {
		free(m.lost);
	} else {
		struct judgement j;

		judge_recipient(&j, c, mail, box->to, JUDGE_KNOWN, 0);
		if (j.max_size > a->max_size)
			a->max_size = j.max_size;
		a->lost = m.lost;
		if (!strings_contain(&a->recipients, box->to))
			strings_add(&a->recipients, box->to);
	}
	return outcome;
}

void fetch_address_release(struct fetch_address *a)
{
	free(a->sender);
	free(a->lost);
	strings_release(&a->recipients);
	*a = (struct fetch_address){0};
}
