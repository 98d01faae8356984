/* `packetboat run`, `call`, `export` and `import`: packetboat-relay does these, under the name that people know. */
#include <errno.h>

#include "lib/alloc.h"
#include "lib/program.h"
#include "tools/command.h"

#define RELAY "packetboat-relay"

/* Becomes the relay with COMMAND, FLAG (null: none) and the operands; returns only when that fails. */
static enum outcome become(struct tool *t, const char *command, const char *flag, struct error *err)
{
	char *argv[12];
	char *path;
	int count = 0;
	enum outcome outcome;

	if (t->dry_run)
		return tool_usage(t, err, "%s has no dry run", command);
	path = program_path(RELAY);
	argv[count++] = mem_string(RELAY);
	if (t->given != NULL) {
		argv[count++] = mem_string("-c");
		argv[count++] = mem_string(t->given);
	}
	if (t->verbose)
		argv[count++] = mem_string("-v");
	argv[count++] = mem_string(command);
	if (flag != NULL)
		argv[count++] = mem_string(flag);
	for (int i = 0; i < t->count; i++)
		argv[count++] = t->words[i];
	argv[count] = NULL;
	execvp(path, argv);
	outcome = error_errno(err, errno, "cannot start %s", path);
	err->code = EX_UNAVAILABLE;
	free(path);
	for (int i = 0; i < count - t->count; i++)
		free(argv[i]);
	return outcome;
}

static enum outcome become_with(
    struct tool *t, const char *command, int operands, const char *need, struct error *err)
{
	enum outcome outcome = tool_options(t, NULL, 0, operands, operands, need, err);

	return outcome == OUTCOME_DONE ? become(t, command, NULL, err) : outcome;
}

enum outcome command_run(struct tool *t, struct error *err)
{
	return become_with(t, "run", 0, "", err);
}

enum outcome command_call(struct tool *t, struct error *err)
{
	bool over_caps = false;
	const struct tool_option options[] = {{"over-caps", OPTION_FLAG, &over_caps}};
	enum outcome outcome = tool_options(t, options, 1, 1, 1, "a neighbour", err);

	return outcome == OUTCOME_DONE ? become(t, "call", over_caps ? "--over-caps" : NULL, err) : outcome;
}

enum outcome command_export(struct tool *t, struct error *err)
{
	return become_with(t, "export", 2, "a neighbour and a directory", err);
}

enum outcome command_import(struct tool *t, struct error *err)
{
	return become_with(t, "import", 1, "a directory", err);
}
