#include "queue/users.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/address.h"
#include "queue/route.h"

/* ---- the file -------------------------------------------------------------------------------------------- */

void users_close(struct users *u)
{
	lock_release(&u->lock);
	if (u->text.length > 0)
		sodium_memzero(u->text.bytes, u->text.length);
	buf_release(&u->text);
	dir_close(&u->dir);
	free(u->name);
	u->name = NULL;
}

enum outcome users_open(
    struct users *u, const struct queue *q, const char *path, enum users_purpose purpose, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash == NULL	  ? mem_string(".")
			  : slash == path ? mem_string("/")
					  : mem_copy(path, (size_t)(slash - path));
	enum outcome outcome = OUTCOME_DONE;

	*u = (struct users){.dir = DIR_CLOSED, .lock = LOCK_NONE};
	u->name = mem_string(slash == NULL ? path : slash + 1);
	buf_init(&u->text, LIMIT_SMALL_FILE);
	if (purpose == USERS_CHANGE)
		outcome = lock_take(&u->lock, &q->lock, "users", err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_open(&u->dir, NULL, directory, err);
	if (outcome == OUTCOME_DONE) {
		outcome = file_read(&u->dir, u->name, &u->text, err);
		if (outcome != OUTCOME_DONE && err->code == EX_NOINPUT)
			outcome = OUTCOME_DONE;
	}
	free(directory);
	return outcome;
}

static bool line_is(struct view line, const char *user)
{
	size_t length = strlen(user);

	return line.length > length && memcmp(line.bytes, user, length) == 0 && line.bytes[length] == ':';
}

/* Splits off what stands before the next SIGN, or all of it. */
static struct view part_next(struct view *rest, char sign)
{
	const uint8_t *end = rest->length == 0 ? NULL : memchr(rest->bytes, sign, rest->length);
	struct view part = end == NULL ? *rest : view_of(rest->bytes, (size_t)(end - rest->bytes));

	*rest = view_from(*rest, end == NULL ? rest->length : part.length + 1);
	return part;
}

static void senders_read(struct view rest, struct strings *senders)
{
	while (rest.length > 0) {
		struct view one = part_next(&rest, ',');
		char *text = mem_copy(one.bytes, one.length);

		if (one.length > 0)
			strings_add(senders, text);
		free(text);
	}
}

bool users_find(const struct users *u, const char *user, char *hash, struct strings *senders)
{
	struct view rest = view_buf(&u->text);
	struct view line;
	struct view part;

	while (view_line(&rest, &line)) {
		if (!line_is(line, user))
			continue;
		line = view_from(line, strlen(user) + 1);
		part = part_next(&line, ':');
		if (part.length >= crypto_pwhash_STRBYTES)
			return false; /* nothing that we wrote */
		if (hash != NULL) {
			memset(hash, 0, crypto_pwhash_STRBYTES);
			memcpy(hash, part.bytes, part.length);
		}
		if (senders != NULL)
			senders_read(line, senders);
		return true;
	}
	return false;
}

enum outcome users_set(
    struct users *u, const char *user, const char *hash, const struct strings *senders, struct error *err)
{
	struct view rest = view_buf(&u->text);
	struct view line;
	struct buf text;
	enum outcome outcome;

	buf_init(&text, LIMIT_SMALL_FILE);
	while (view_line(&rest, &line)) {
		if (line_is(line, user))
			continue;
		buf_view(&text, line);
		buf_byte(&text, '\n');
	}
	if (hash != NULL) {
		buf_format(&text, "%s:%s", user, hash);
		for (size_t i = 0; senders != NULL && i < senders->count; i++)
			buf_format(&text, "%c%s", i == 0 ? ':' : ',', senders->items[i]);
		buf_byte(&text, '\n');
	}
	outcome = text.failed ? error_set(err, EX_DATAERR, "the password file is full")
			      : file_commit(&u->dir, &u->dir, u->name, view_buf(&text), err);
	if (outcome == OUTCOME_DONE) {
		buf_release(&u->text);
		u->text = text;
	} else {
		buf_release(&text);
	}
	return outcome;
}

/* ---- logging in ------------------------------------------------------------------------------------------ */

char *users_said(const struct config *c, const char *said)
{
	const char *at = strrchr(said, '@');
	bool ours = at != NULL && config_is_local(c, view_text(at + 1));

	return ours ? mem_copy(said, (size_t)(at - said)) : mem_string(said);
}

/*
 * A hash of no password, made with the parameters of real ones: it is checked when there is no such user, so that the
 * time tells nobody who exists.
 */
static const char nobody[crypto_pwhash_STRBYTES] =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

enum outcome users_stands(const char *path, const char *user, struct buf *out, struct error *err)
{
	char hash[crypto_pwhash_STRBYTES];
	struct users u;
	enum outcome outcome = users_open(&u, NULL, path, USERS_READ, err);

	if (outcome != OUTCOME_DONE)
		error_context(err, "the password file");
	else if (user_name_valid(user) && users_find(&u, user, hash, NULL))
		buf_text(out, hash);
	else
		buf_text(out, nobody);
	sodium_memzero(hash, sizeof hash);
	users_close(&u);
	return outcome;
}

enum outcome users_check(struct view stands, const char *password, struct error *err)
{
	char hash[crypto_pwhash_STRBYTES] = {0};
	bool right;

	memcpy(hash, stands.bytes, stands.length < sizeof hash ? stands.length : 0);
	right = strlen(password) <= USERS_PASSWORD_MAX &&
		crypto_pwhash_str_verify(hash, password, strlen(password)) == 0 && strcmp(hash, nobody) != 0;
	sodium_memzero(hash, sizeof hash);
	return right ? OUTCOME_DONE : error_set(err, EX_NOUSER, "wrong user name or password");
}

/* ---- senders --------------------------------------------------------------------------------------------- */

static bool sender_listed(const struct strings *senders, const char *sender)
{
	const char *at = strrchr(sender, '@');

	for (size_t i = 0; i < senders->count; i++) {
		const char *allowed = senders->items[i];

		if (strcmp(allowed, "*") == 0 || text_same(allowed, sender) ||
		    (text_starts(allowed, "*@") && at != NULL && text_same(allowed + 1, at)))
			return true;
	}
	return false;
}

bool users_may_send(
    const struct users *u, const struct config *c, const struct dir *mail, const char *user, const char *sender)
{
	char hash[crypto_pwhash_STRBYTES];
	struct strings senders = {0};
	struct route r;
	bool may = sender[0] == '\0';

	if (!may) {
		route_find(&r, c, mail, sender);
		may = r.kind == ROUTE_HOP && strcmp(r.hop, "local") == 0 && strcmp(r.address, user) == 0;
		route_release(&r);
	}
	if (!may && users_find(u, user, hash, &senders))
		may = sender_listed(&senders, sender);
	strings_release(&senders);
	return may;
}
