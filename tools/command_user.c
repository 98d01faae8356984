/*
 * `packetboat user`: who has a mailbox here, the passwords by which the bridges know them, and the sender addresses that
 * they may use beside their own. The password file is that of queue/users.h.
 */
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <termios.h>

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/address.h"
#include "queue/hop.h"
#include "queue/maildir.h"
#include "queue/route.h"
#include "queue/users.h"
#include "tools/command.h"
#include "tools/health.h"

static enum outcome accounts_open(struct tool *t, struct users *u, struct error *err)
{
	return users_open(u, &t->queue, t->config.users, USERS_CHANGE, err);
}

/* ---- passwords ------------------------------------------------------------------------------------------- */

/* Reads one line into OUT (USERS_PASSWORD_MAX + 1 octets). No stdio: a copy would stay in its buffer. */
static enum outcome line_read(char *out, struct error *err)
{
	size_t length = 0;
	ssize_t got;

	while (
	    length <= USERS_PASSWORD_MAX && (got = read(STDIN_FILENO, out + length, 1)) == 1 && out[length] != '\n')
		length++;
	if (length > USERS_PASSWORD_MAX)
		return error_set(err, EX_DATAERR, "the password is longer than %d octets", USERS_PASSWORD_MAX);
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

static const int endings[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define ENDINGS (sizeof endings / sizeof endings[0])

/* What is ignored, as under nohup(1), stays so. */
static void signals_note(struct sigaction usual[static ENDINGS])
{
	struct sigaction note = {.sa_handler = note_signal};

	for (size_t i = 0; i < ENDINGS; i++) {
		sigaction(endings[i], NULL, &usual[i]);
		if (usual[i].sa_handler != SIG_IGN)
			sigaction(endings[i], &note, NULL);
	}
}

/* The same from a terminal, unseen. A signal that ends the program must not leave the terminal blind. */
static enum outcome line_ask(const char *prompt, char *out, struct error *err)
{
	struct sigaction usual[ENDINGS];
	struct termios seen;
	struct termios unseen;
	enum outcome outcome;

	if (tcgetattr(STDIN_FILENO, &seen) != 0)
		return line_read(out, err);
	unseen = seen;
	unseen.c_lflag &= ~(tcflag_t)ECHO;
	signals_note(usual);
	fprintf(stderr, "%s: ", prompt);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &unseen);
	outcome = line_read(out, err);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &seen);
	fputc('\n', stderr);
	for (size_t i = 0; i < ENDINGS; i++)
		sigaction(endings[i], &usual[i], NULL);
	if (interrupted != 0)
		raise(interrupted);
	return outcome;
}

/* Asks for a password and makes its hash. */
static enum outcome password_hash(char hash[static crypto_pwhash_STRBYTES], struct error *err)
{
	char *first = sodium_malloc(USERS_PASSWORD_MAX + 1);
	char *second = sodium_malloc(USERS_PASSWORD_MAX + 1);
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
	if (outcome == OUTCOME_DONE &&
	    crypto_pwhash_str(hash, first, strlen(first), USERS_HASH_PASSES, USERS_HASH_MEMORY) != 0)
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

/* EX_NOUSER when NAME has no box; one that cannot be looked at is no answer. */
static enum outcome user_stands(const struct tool *t, const char *name, struct error *err)
{
	bool found;
	enum outcome outcome = maildir_look(&t->queue.mail, name, &found, err);

	if (outcome == OUTCOME_DONE && !found)
		outcome = error_set(err, EX_NOUSER, "there is no user \"%s\" here", name);
	return outcome;
}

enum outcome command_user_add(struct tool *t, struct error *err)
{
	struct users u = {.dir = DIR_CLOSED, .lock = LOCK_NONE};
	char hash[crypto_pwhash_STRBYTES];
	const char *name;
	enum outcome outcome = user_options(t, NULL, 0, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	name = t->words[0];
	outcome = accounts_open(t, &u, err);
	/* The box of postmaster is made by init; a password makes him a user like others. */
	if (outcome == OUTCOME_DONE && (users_find(&u, name, NULL, NULL) ||
					   (maildir_exists(&t->queue.mail, name) && strcmp(name, "postmaster") != 0)))
		outcome = error_set(
		    err, EX_CANTCREAT, "the user \"%s\" exists already (see `packetboat user password`)", name);
	if (outcome == OUTCOME_DONE && t->dry_run) {
		printf("would make the user %s\n", name);
	} else if (outcome == OUTCOME_DONE) {
		/* Not while others wait: a person may be typing. */
		users_close(&u);
		outcome = password_hash(hash, err);
		if (outcome == OUTCOME_DONE)
			outcome = accounts_open(t, &u, err);
		else
			u = (struct users){.dir = DIR_CLOSED, .lock = LOCK_NONE};
		if (outcome == OUTCOME_DONE)
			outcome = maildir_make(&t->queue.mail, name, err);
		if (outcome == OUTCOME_DONE)
			outcome = users_set(&u, name, hash, NULL, err);
		sodium_memzero(hash, sizeof hash);
	}
	users_close(&u);
	return outcome;
}

enum outcome command_user_password(struct tool *t, struct error *err)
{
	struct users u = {.dir = DIR_CLOSED, .lock = LOCK_NONE};
	char hash[crypto_pwhash_STRBYTES];
	char old[crypto_pwhash_STRBYTES];
	struct strings senders = {0};
	enum outcome outcome = user_options(t, NULL, 0, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = user_stands(t, t->words[0], err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (t->dry_run) {
		printf("would change the password of %s\n", t->words[0]);
		return OUTCOME_DONE;
	}
	outcome = password_hash(hash, err);
	if (outcome == OUTCOME_DONE)
		outcome = accounts_open(t, &u, err);
	if (outcome == OUTCOME_DONE) {
		users_find(&u, t->words[0], old, &senders);
		outcome = users_set(&u, t->words[0], hash, &senders, err);
	}
	strings_release(&senders);
	sodium_memzero(hash, sizeof hash);
	users_close(&u);
	return outcome;
}

static enum outcome sender_check(const char *text, struct error *err)
{
	struct address a;

	if (strcmp(text, "*") == 0)
		return OUTCOME_DONE;
	/* The file parts its fields with these. */
	if (strpbrk(text, ",:") != NULL)
		return error_set(err, EX_USAGE, "\"%s\" cannot be kept: an address with \",\" or \":\"", text);
	if (address_parse(&a, view_text(text), err) != OUTCOME_DONE)
		return error_context(err, "the sender address");
	return a.kind == ADDRESS_MAILBOX ? OUTCOME_DONE : error_set(err, EX_USAGE, "\"%s\" is no user@domain", text);
}

enum outcome command_user_senders(struct tool *t, struct error *err)
{
	bool none = false;
	const struct tool_option options[] = {{"none", OPTION_FLAG, &none}};
	struct users u = {.dir = DIR_CLOSED, .lock = LOCK_NONE};
	struct strings senders = {0};
	char hash[crypto_pwhash_STRBYTES];
	enum outcome outcome = tool_options(t, options, 1, 1, -1, "a user name", err);
	bool change = none || t->count > 1;

	for (int i = 1; i < t->count && outcome == OUTCOME_DONE; i++)
		outcome = sender_check(t->words[i], err);
	if (outcome == OUTCOME_DONE && none && t->count > 1)
		outcome = error_set(err, EX_USAGE, "--none goes without addresses");
	if (outcome == OUTCOME_DONE)
		outcome = tool_queue(t, err);
	if (outcome == OUTCOME_DONE)
		outcome = accounts_open(t, &u, err);
	if (outcome == OUTCOME_DONE && !users_find(&u, t->words[0], hash, change ? NULL : &senders))
		outcome = error_set(err, EX_NOUSER, "there is no user \"%s\" with a password here", t->words[0]);
	for (size_t i = 0; i < senders.count; i++) {
		print_visible(senders.items[i]);
		putchar('\n');
	}
	for (int i = 1; i < t->count && outcome == OUTCOME_DONE; i++)
		strings_add(&senders, t->words[i]);
	if (outcome == OUTCOME_DONE && change && !t->dry_run)
		outcome = users_set(&u, t->words[0], hash, &senders, err);
	sodium_memzero(hash, sizeof hash);
	strings_release(&senders);
	users_close(&u);
	return outcome;
}

static enum outcome unread(const struct tool *t, const char *name, size_t *count, struct error *err)
{
	char *path = mem_format("%s/new", name);
	struct names names = {0};
	struct dir d;
	enum outcome outcome = dir_open(&d, &t->queue.mail, path, err);

	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&d, &names, err);
	*count = names.count;
	names_release(&names);
	dir_close(&d);
	free(path);
	return outcome;
}

/* A box that cannot be looked at is there all the same, and nobody knows what is in it. */
static void user_print(const struct tool *t, const struct users *u, const char *name)
{
	struct error why = ERROR_NONE;
	size_t count = 0;
	bool found;
	enum outcome outcome = maildir_look(&t->queue.mail, name, &found, &why);
	json_t *object;

	if (outcome == OUTCOME_DONE && !found)
		return;
	if (outcome == OUTCOME_DONE)
		outcome = unread(t, name, &count, &why);
	if (t->json) {
		object = json_object();
		json_text(object, "user", name);
		json_object_set_new(object, "password", json_boolean(users_find(u, name, NULL, NULL)));
		if (outcome == OUTCOME_DONE)
			json_number(object, "new", count);
		else
			json_text(object, "trouble", why.text);
		print_json(object);
		return;
	}
	print_column(name, 24);
	printf(" %-8s ", users_find(u, name, NULL, NULL) ? "password" : "-");
	if (outcome == OUTCOME_DONE) {
		printf("%zu\n", count);
		return;
	}
	fputs("- ", stdout);
	print_visible(why.text);
	putchar('\n');
}

enum outcome command_user_list(struct tool *t, struct error *err)
{
	const struct tool_option options[] = {{"json", OPTION_FLAG, &t->json}};
	struct users u = {.dir = DIR_CLOSED, .lock = LOCK_NONE};
	struct names names = {0};
	enum outcome outcome = tool_options(t, options, 1, 0, 0, "", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_queue(t, err);
	if (outcome == OUTCOME_DONE)
		outcome = accounts_open(t, &u, err);
	if (outcome == OUTCOME_DONE)
		outcome = mailbox_names(&t->queue, &names, err);
	for (size_t i = 0; i < names.count; i++)
		user_print(t, &u, names.items[i]);
	names_release(&names);
	users_close(&u);
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
	struct users u = {.dir = DIR_CLOSED, .lock = LOCK_NONE};
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
	outcome = user_stands(t, name, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (t->dry_run) {
		printf("would remove the user %s, and %s the mail\n", name, with_mail ? "delete" : "keep");
		return OUTCOME_DONE;
	}
	/* Out of sight at once, so that nothing is delivered there any more: a name that no user can have. */
	tmp_name(unique);
	aside = mem_format(".%s-%s", name, unique);
	outcome = hop_lock(&t->queue, "local", &delivering, err);
	if (outcome == OUTCOME_DONE)
		outcome = accounts_open(t, &u, err);
	if (outcome == OUTCOME_DONE)
		outcome = users_set(&u, name, NULL, NULL, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(&t->queue.mail, name, &t->queue.mail, aside, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&t->queue.mail, err);
	lock_release(&delivering);
	if (outcome == OUTCOME_DONE && with_mail)
		outcome = tree_remove(&t->queue.mail, aside, 8, err);
	else if (outcome == OUTCOME_DONE)
		tool_say("the mail of %s is kept in %s/%s", name, t->queue.mail.path, aside);
	users_close(&u);
	free(aside);
	return outcome;
}
