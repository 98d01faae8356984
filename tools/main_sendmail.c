/*
 * packetboat-sendmail: sendmail, mailq and newaliases for the programs that call these by name.
 * packetboat-sendmail(1) is its manual. Only options and wiring are here.
 */
#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <sodium.h>

#include "lib/program.h"
#include "lib/text.h"
#include "tools/mailq.h"
#include "tools/sendmail.h"

enum task { TASK_DELIVER, TASK_LIST, TASK_SERVE, TASK_NOTHING };

enum dots { DOTS_END, DOTS_ARE_TEXT };

enum silence { SILENT, VERBOSE };

struct invocation {
	const char *program;
	const char *config;
	enum task task;
	enum dots dots;
	enum silence silence;
	struct sendmail_options options;
};

static void say(void *context, const char *sentence)
{
	const struct invocation *v = context;

	fprintf(stderr, "%s: %s\n", v->program, sentence);
}

/* ---- options ---------------------------------------------------------------------------------------------
 */

static enum outcome name_read(struct invocation *v, const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');

	v->program = slash == NULL ? path : slash + 1;
	if (strcmp(v->program, "mailq") == 0)
		v->task = TASK_LIST;
	else if (strcmp(v->program, "newaliases") == 0)
		v->task = TASK_NOTHING;
	else if (strcmp(v->program, "rmail") == 0 || strcmp(v->program, "rsmtp") == 0 ||
		 strcmp(v->program, "uux") == 0)
		return error_set(
		    err, EX_UNAVAILABLE, "taking mail from UUCP is not offered by packetboat %s", PACKETBOAT_VERSION);
	return OUTCOME_DONE;
}

static enum outcome mode_read(struct invocation *v, const char *mode, struct error *err)
{
	switch (mode[0]) {
	case 'm':
		v->task = TASK_DELIVER;
		return OUTCOME_DONE;
	case 'p':
		v->task = TASK_LIST;
		return OUTCOME_DONE;
	case 'i':
		v->task = TASK_NOTHING;
		return OUTCOME_DONE;
	case 's':
		v->task = TASK_SERVE;
		return OUTCOME_DONE;
	case 'd':
	case 'D':
	case 'l':
		return error_set(err, EX_UNAVAILABLE,
		    "there is no daemon to start (-b%c); `packetboat run` from cron moves the mail", mode[0]);
	case 'v':
	case 't':
		return error_set(err, EX_UNAVAILABLE,
		    "addresses are not looked up here (-b%c); `packetboat route test ADDRESS` does that", mode[0]);
	case 'a':
	case 'h':
	case 'H':
	case 'P':
		return error_set(err, EX_UNAVAILABLE, "the mode -b%c is not offered by packetboat", mode[0]);
	default:
		return error_set(err, EX_USAGE, "there is no mode -b%s", mode);
	}
}

static enum outcome return_read(struct invocation *v, const char *text, struct error *err)
{
	if (text_same(text, "full"))
		v->options.ret = RETURN_FULL;
	else if (text_same(text, "hdrs"))
		v->options.ret = RETURN_HEADERS;
	else
		return error_set(err, EX_USAGE, "-R takes \"full\" or \"hdrs\", not \"%s\"", text);
	return OUTCOME_DONE;
}

static enum outcome notify_read(struct invocation *v, const char *text, struct error *err)
{
	if (!notify_parse(text, &v->options.notify))
		return error_set(
		    err, EX_USAGE, "-N takes \"never\", or some of \"success,failure,delay\", not \"%s\"", text);
	return OUTCOME_DONE;
}

static enum outcome envid_read(struct invocation *v, const char *text, struct error *err)
{
	/* RFC 3461 4.4: printable ASCII, and at most 100 characters. */
	if (text[0] == '\0' || strlen(text) > 100)
		return error_set(err, EX_USAGE, "the envelope id of -V has 1 to 100 characters");
	for (const char *c = text; *c != '\0'; c++)
		if (*c < 32 || *c > 126)
			return error_set(err, EX_USAGE, "the envelope id of -V must be printable ASCII");
	v->options.envid = text;
	return OUTCOME_DONE;
}

static enum outcome class_read(struct invocation *v, const char *text, struct error *err)
{
	if (!class_parse(text, &v->options.class))
		return error_set(err, EX_USAGE, "--class takes \"urgent\", \"normal\" or \"bulk\", not \"%s\"", text);
	v->options.class_from = SENDMAIL_CLASS_GIVEN;
	return OUTCOME_DONE;
}

/* The value of -o: only "i" means something here; sendmail has a hundred others. */
static void set_read(struct invocation *v, const char *text)
{
	if (text[0] == 'i')
		v->dots = DOTS_ARE_TEXT;
}

enum { OPTION_CLASS = 256 };

/* What getopt could not read; LAST is the word it stopped at. */
static enum outcome option_fault(int fault, const char *last, struct error *err)
{
	char letter[] = {'-', (char)optopt, '\0'};
	const char *name = optopt > 0 && optopt < OPTION_CLASS ? letter : last;

	return error_set(err, EX_USAGE, fault == ':' ? "the option %s needs a value" : "there is no option %s", name);
}

static enum outcome option_read(struct invocation *v, int option, const char *last, struct error *err)
{
	switch (option) {
	case 'b':
		return mode_read(v, optarg, err);
	case 'C':
	case 'c':
		v->config = optarg;
		break;
	case 'F':
		v->options.name = optarg;
		break;
	case 'f':
	case 'r':
		v->options.sender = optarg;
		break;
	case 'I':
		v->task = TASK_NOTHING;
		break;
	case 'i':
		v->dots = DOTS_ARE_TEXT;
		break;
	case 'N':
		return notify_read(v, optarg, err);
	case 'o':
		set_read(v, optarg);
		break;
	case 'q':
		return error_set(
		    err, EX_UNAVAILABLE, "the queue is not run from here (-q); `packetboat run` does that");
	case 'R':
		return return_read(v, optarg, err);
	case 't':
		v->options.mode = COMPOSE_FROM_HEADER;
		break;
	case 'V':
		return envid_read(v, optarg, err);
	case 'v':
		v->silence = VERBOSE;
		break;
	case OPTION_CLASS:
		return class_read(v, optarg, err);
	case ':':
	case '?':
		return option_fault(option, last, err);
	default:
		/* Options of sendmail that mean nothing here. */
		break;
	}
	return OUTCOME_DONE;
}

static enum outcome options_read(struct invocation *v, int argc, char **argv, struct error *err)
{
	static const struct option long_options[] = {
	    {"class", required_argument, NULL, OPTION_CLASS},
	    {NULL, 0, NULL, 0},
	};
	/* '+': what stands behind the first recipient is a recipient, so nobody's address becomes an option.
	 */
	static const char short_options[] = "+:A:B:C:F:GIL:N:O:R:UV:X:b:c:d::e:f:h:imno:p:q::r:tvx";
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
		enum outcome outcome = option_read(v, option, argv[optind - 1], err);

		if (outcome != OUTCOME_DONE)
			return outcome;
	}
	v->options.recipients = argv + optind;
	v->options.recipient_count = (size_t)(argc - optind);
	return OUTCOME_DONE;
}

/* ---- wiring ----------------------------------------------------------------------------------------------
 */

/* A program that still writes when we refuse must live to see our exit code. */
static void drain(struct source *in)
{
	struct null_sink nowhere;

	null_sink_init(&nowhere);
	if (!isatty(STDIN_FILENO))
		stream_copy(in, &nowhere.sink, NULL, NULL);
}

static void deliver(
    struct invocation *v, const struct config *config, struct queue *queue, struct source *in, struct error *err)
{
	struct passwd *user = getpwuid(getuid());
	struct id id;
	char text[LIMIT_ID];

	v->options.login = user == NULL ? NULL : user->pw_name;
	if (sendmail_submit(&v->options, config, queue, in, say, v, &id, err) != OUTCOME_DONE) {
		/* It was said already. */
		err->text[0] = '\0';
	} else if (v->silence == VERBOSE) {
		id_print(&id, text);
		printf("%s\n", text);
	}
}

static int perform(struct invocation *v, struct source *in)
{
	struct config config;
	struct queue queue;
	struct error err = ERROR_NONE;

	if (config_load(&config, config_path(v->config), NULL, NULL, &err) != OUTCOME_DONE) {
		say(v, err.text);
		return err.code;
	}
	if (queue_open(&queue, config.spool, config.host, &err) == OUTCOME_DONE) {
		queue.min_free = config.min_free;
		if (v->task == TASK_DELIVER)
			deliver(v, &config, &queue, in, &err);
		else
			mailq_print(&queue, stdout, &err);
		queue_close(&queue);
	}
	if (err.text[0] != '\0')
		say(v, err.text);
	config_release(&config);
	return err.code;
}

/* SMTP on standard input and output is the server's business: becomes it, and returns only when that fails. */
static int serve(struct invocation *v)
{
	char *path = program_path("packetboat-smtpd");
	char *const argv[] = {"packetboat-smtpd", "-c", (char *)(uintptr_t)config_path(v->config), "--stdio", NULL};
	struct error err = ERROR_NONE;

	execvp(path, argv);
	error_errno(&err, errno, "cannot start %s", path);
	say(v, err.text);
	free(path);
	return EX_UNAVAILABLE;
}

static int run(struct invocation *v)
{
	struct fd_source input;
	struct dot_source dots;
	struct source *in = v->dots == DOTS_END ? &dots.source : &input.source;
	int code;

	fd_source_init(&input, STDIN_FILENO, "the message on standard input");
	dot_source_init(&dots, &input.source);
	code = perform(v, in);
	if (code != EX_OK && v->task == TASK_DELIVER)
		drain(in);
	dot_source_release(&dots);
	return code;
}

int main(int argc, char **argv)
{
	struct invocation v = {.task = TASK_DELIVER};
	struct error err = ERROR_NONE;

	if (name_read(&v, argc > 0 ? argv[0] : "sendmail", &err) != OUTCOME_DONE ||
	    options_read(&v, argc, argv, &err) != OUTCOME_DONE ||
	    (sodium_init() < 0 && error_set(&err, EX_SOFTWARE, "libsodium cannot start") != OUTCOME_DONE)) {
		say(&v, err.text);
		return err.code;
	}
	if (v.task == TASK_SERVE)
		return serve(&v);
	return v.task == TASK_NOTHING ? EX_OK : run(&v);
}
