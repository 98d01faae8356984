/*
 * `packetboat user`: who has a mailbox here, and the passwords by which the bridges know them.
 *
 * A user exists when mail/USER is a Maildir. The password file has a line "USER:HASH" for each who has a password;
 * it is replaced as a whole under the lock "users".
 */
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <termios.h>

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/hop.h"
#include "queue/maildir.h"
#include "queue/route.h"
#include "tools/command.h"

/*
 * Argon2id with as much memory as this, twice over it: what OWASP asks for at least. No more, because the bridges do it
 * at every login and may use 32 MB.
 */
#define HASH_MEMORY ((size_t)19 << 20)
#define HASH_PASSES 2

#define PASSWORD_MAX 1024

/* ---- the password file ----------------------------------------------------------------------------------- */

struct accounts {
	struct dir dir; /* that holds the file */
	char *name;	/* of the file within it */
	struct buf text;
	struct lock lock;
};

static void accounts_close(struct accounts *a)
{
	lock_release(&a->lock);
	buf_release(&a->text);
	dir_close(&a->dir);
	free(a->name);
}

static enum outcome accounts_open(struct tool *t, struct accounts *a, struct error *err)
{
	const char *slash = strrchr(t->config.users, '/');
	char *directory = slash == NULL		     ? mem_string(".")
			  : slash == t->config.users ? mem_string("/")
						     : mem_copy(t->config.users, (size_t)(slash - t->config.users));
	enum outcome outcome;

	*a = (struct accounts){.dir = DIR_CLOSED, .lock = LOCK_NONE};
	a->name = mem_string(slash == NULL ? t->config.users : slash + 1);
	buf_init(&a->text, LIMIT_SMALL_FILE);
	outcome = lock_take(&a->lock, &t->queue.lock, "users", err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_open(&a->dir, NULL, directory, err);
	if (outcome == OUTCOME_DONE) {
		outcome = file_read(&a->dir, a->name, &a->text, err);
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

static bool accounts_have(const struct accounts *a, const char *user)
{
	struct view rest = view_buf(&a->text);
	struct view line;

	while (view_line(&rest, &line))
		if (line_is(line, user))
			return true;
	return false;
}

/* Replaces the line of USER by one with HASH; a null HASH only takes it out. */
static enum outcome accounts_set(struct accounts *a, const char *user, const char *hash, struct error *err)
{
	struct view rest = view_buf(&a->text);
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
	if (hash != NULL)
		buf_format(&text, "%s:%s\n", user, hash);
	outcome = text.failed ? error_set(err, EX_DATAERR, "the password file is full")
			      : file_commit(&a->dir, &a->dir, a->name, view_buf(&text), err);
	buf_release(&text);
	return outcome;
}

/* ---- passwords ------------------------------------------------------------------------------------------- */

/* Reads one line into OUT (PASSWORD_MAX + 1 octets). No stdio: a copy would stay in its buffer. */
static enum outcome line_read(char *out, struct error *err)
{
	size_t length = 0;
	ssize_t got;

	while (length <= PASSWORD_MAX && (got = read(STDIN_FILENO, out + length, 1)) == 1 && out[length] != '\n')
		length++;
	if (length > PASSWORD_MAX)
		return error_set(err, EX_DATAERR, "the password is longer than %d octets", PASSWORD_MAX);
	if (length > 0 && out[length - 1] == '\r')
		length--;
	out[length] = '\0';
	if (length == 0)
		return error_set(err, EX_DATAERR, "there is no password on standard input");
	return OUTCOME_DONE;
}

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
	interrupted = number;
}

/* The same from a terminal, unseen. A signal that ends the program must not leave the terminal blind. */
static enum outcome line_ask(const char *prompt, char *out, struct error *err)
{
	struct sigaction note = {.sa_handler = note_signal};
	struct sigaction usual;
	struct termios seen;
	struct termios unseen;
	enum outcome outcome;

	if (tcgetattr(STDIN_FILENO, &seen) != 0)
		return line_read(out, err);
	unseen = seen;
	unseen.c_lflag &= ~(tcflag_t)ECHO;
	sigaction(SIGINT, &note, &usual);
	fprintf(stderr, "%s: ", prompt);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &unseen);
	outcome = line_read(out, err);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &seen);
	fputc('\n', stderr);
	sigaction(SIGINT, &usual, NULL);
	if (interrupted != 0)
		raise(interrupted);
	return outcome;
}

/* Asks for a password and makes its hash. */
static enum outcome password_hash(char hash[static crypto_pwhash_STRBYTES], struct error *err)
{
	char *first = sodium_malloc(PASSWORD_MAX + 1);
	char *second = sodium_malloc(PASSWORD_MAX + 1);
	enum outcome outcome;

	if (first == NULL || second == NULL) {
		sodium_free(first);
		sodium_free(second);
		return error_set(err, EX_OSERR, "there is no memory for a password");
	}
	outcome = line_ask("password", first, err);
	if (outcome == OUTCOME_DONE && isatty(STDIN_FILENO)) {
		outcome = line_ask("the same again", second, err);
		if (outcome == OUTCOME_DONE && strcmp(first, second) != 0)
			outcome = error_set(err, EX_DATAERR, "the two passwords are not the same");
	}
	if (outcome == OUTCOME_DONE && crypto_pwhash_str(hash, first, strlen(first), HASH_PASSES, HASH_MEMORY) != 0)
		outcome = error_set(err, EX_OSERR, "there is no memory for hashing a password");
	sodium_free(first);
	sodium_free(second);
	return outcome;
}

/* ---- commands -------------------------------------------------------------------------------------------- */

static enum outcome user_options(struct tool *t, const struct tool_option *options, size_t count, struct error *err)
{
	struct buf shown;
	enum outcome outcome = tool_options(t, options, count, 1, 1, "a user name", err);

	if (outcome == OUTCOME_DONE && !user_name_valid(t->words[0])) {
		buf_init(&shown, LIMIT_REASON);
		text_visible(view_text(t->words[0]), 100, &shown);
		outcome = error_set(err, EX_USAGE,
		    "\"%s\" is not a user name: letters, digits, \"._+-\", not beginning with \".\" or \"-\"",
		    buf_string(&shown));
		buf_release(&shown);
	}
	return outcome == OUTCOME_DONE ? tool_queue(t, err) : outcome;
}

static enum outcome no_user(const char *name, struct error *err)
{
	return error_set(err, EX_NOUSER, "there is no user \"%s\" here", name);
}

enum outcome command_user_add(struct tool *t, struct error *err)
{
	struct accounts a = {.dir = DIR_CLOSED, .lock = LOCK_NONE};
	char hash[crypto_pwhash_STRBYTES];
	const char *name;
	enum outcome outcome = user_options(t, NULL, 0, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	name = t->words[0];
	outcome = accounts_open(t, &a, err);
	/* The box of postmaster is made by init; a password makes him a user like others. */
	if (outcome == OUTCOME_DONE &&
	    (accounts_have(&a, name) || (maildir_exists(&t->queue.mail, name) && strcmp(name, "postmaster") != 0)))
		outcome = error_set(
		    err, EX_CANTCREAT, "the user \"%s\" exists already (see `packetboat user password`)", name);
	if (outcome == OUTCOME_DONE && t->dry_run) {
		printf("would make the user %s\n", name);
	} else if (outcome == OUTCOME_DONE) {
		/* Not while others wait: a person may be typing. */
		accounts_close(&a);
		outcome = password_hash(hash, err);
		if (outcome == OUTCOME_DONE)
			outcome = accounts_open(t, &a, err);
		else
			a = (struct accounts){.dir = DIR_CLOSED, .lock = LOCK_NONE};
		if (outcome == OUTCOME_DONE)
			outcome = maildir_make(&t->queue.mail, name, err);
		if (outcome == OUTCOME_DONE)
			outcome = accounts_set(&a, name, hash, err);
		sodium_memzero(hash, sizeof hash);
	}
	accounts_close(&a);
	return outcome;
}

enum outcome command_user_password(struct tool *t, struct error *err)
{
	struct accounts a = {.dir = DIR_CLOSED, .lock = LOCK_NONE};
	char hash[crypto_pwhash_STRBYTES];
	enum outcome outcome = user_options(t, NULL, 0, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	if (!maildir_exists(&t->queue.mail, t->words[0]))
		return no_user(t->words[0], err);
	if (t->dry_run) {
		printf("would change the password of %s\n", t->words[0]);
		return OUTCOME_DONE;
	}
	outcome = password_hash(hash, err);
	if (outcome == OUTCOME_DONE)
		outcome = accounts_open(t, &a, err);
	if (outcome == OUTCOME_DONE)
		outcome = accounts_set(&a, t->words[0], hash, err);
	sodium_memzero(hash, sizeof hash);
	accounts_close(&a);
	return outcome;
}

static size_t unread(const struct tool *t, const char *name)
{
	char *path = mem_format("%s/new", name);
	struct names names = {0};
	struct dir d;
	size_t count = 0;

	if (dir_open(&d, &t->queue.mail, path, NULL) == OUTCOME_DONE && dir_names(&d, &names, NULL) == OUTCOME_DONE)
		count = names.count;
	names_release(&names);
	dir_close(&d);
	free(path);
	return count;
}

enum outcome command_user_list(struct tool *t, struct error *err)
{
	const struct tool_option options[] = {{"json", OPTION_FLAG, &t->json}};
	struct accounts a = {.dir = DIR_CLOSED, .lock = LOCK_NONE};
	struct names names = {0};
	enum outcome outcome = tool_options(t, options, 1, 0, 0, "", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_queue(t, err);
	if (outcome == OUTCOME_DONE)
		outcome = accounts_open(t, &a, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&t->queue.mail, &names, err);
	for (size_t i = 0; i < names.count; i++) {
		const char *name = names.items[i];
		json_t *object;

		if (!user_name_valid(name) || !maildir_exists(&t->queue.mail, name))
			continue;
		if (!t->json) {
			print_column(name, 24);
			printf(" %-8s %zu\n", accounts_have(&a, name) ? "password" : "-", unread(t, name));
			continue;
		}
		object = json_object();
		json_text(object, "user", name);
		json_object_set_new(object, "password", json_boolean(accounts_have(&a, name)));
		json_number(object, "new", unread(t, name));
		print_json(object);
	}
	names_release(&names);
	accounts_close(&a);
	return outcome;
}

/* ---- remove ---------------------------------------------------------------------------------------------- */

/* Removes directory NAME and what is in it; DEPTH bounds what a strange tree could ask for. */
static enum outcome tree_remove(const struct dir *parent, const char *name, unsigned depth, struct error *err)
{
	struct dir d;
	struct names names = {0};
	enum outcome outcome = dir_open(&d, parent, name, err);

	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&d, &names, err);
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++) {
		struct stat st;
		bool directory = fstatat(d.fd, names.items[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);

		outcome = directory && depth > 0 ? tree_remove(&d, names.items[i], depth - 1, err)
						 : file_remove(&d, names.items[i], err);
	}
	names_release(&names);
	dir_close(&d);
	return outcome == OUTCOME_DONE ? dir_remove(parent, name, err) : outcome;
}

enum outcome command_user_remove(struct tool *t, struct error *err)
{
	bool with_mail = false;
	const struct tool_option options[] = {{"with-mail", OPTION_FLAG, &with_mail}};
	struct accounts a = {.dir = DIR_CLOSED, .lock = LOCK_NONE};
	struct lock delivering = LOCK_NONE;
	char unique[40];
	char *aside;
	const char *name;
	enum outcome outcome = user_options(t, options, 1, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	name = t->words[0];
	if (strcmp(name, "postmaster") == 0)
		return error_set(err, EX_USAGE, "there is always a postmaster; his box cannot be removed");
	if (!maildir_exists(&t->queue.mail, name))
		return no_user(name, err);
	if (t->dry_run) {
		printf("would remove the user %s, and %s the mail\n", name, with_mail ? "delete" : "keep");
		return OUTCOME_DONE;
	}
	/* Out of sight at once, so that nothing is delivered there any more: a name that no user can have. */
	tmp_name(unique);
	aside = mem_format(".%s-%s", name, unique);
	outcome = hop_lock(&t->queue, "local", &delivering, err);
	if (outcome == OUTCOME_DONE)
		outcome = accounts_open(t, &a, err);
	if (outcome == OUTCOME_DONE)
		outcome = accounts_set(&a, name, NULL, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(&t->queue.mail, name, &t->queue.mail, aside, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&t->queue.mail, err);
	lock_release(&delivering);
	if (outcome == OUTCOME_DONE && with_mail)
		outcome = tree_remove(&t->queue.mail, aside, 8, err);
	else if (outcome == OUTCOME_DONE)
		tool_say("the mail of %s is kept in %s/%s", name, t->queue.mail.path, aside);
	accounts_close(&a);
	free(aside);
	return outcome;
}
