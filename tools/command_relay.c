/* `packetboat run`, `call`, `export` and `import`: packetboat-relay does these, under the name that people know. */
#include <errno.h>

#include "lib/alloc.h"
#include "lib/program.h"
#include "tools/command.h"

#define RELAY "packetboat-relay"

/* Becomes the relay with COMMAND and the operands; returns only when that fails. */
static enum outcome become(struct tool *t, const char *command, int operands, const char *need, struct error *err)
{
	char *argv[12];
	char *path;
	int count = 0;
	enum outcome outcome = tool_options(t, NULL, 0, operands, operands, need, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
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

enum outcome command_run(struct tool *t, struct error *err)
{
	return become(t, "run", 0, "", err);
}

enum outcome command_call(struct tool *t, struct error *err)
{
	return become(t, "call", 1, "a neighbour", err);
}

enum outcome command_export(struct tool *t, struct error *err)
{
	return become(t, "export", 2, "a neighbour and a directory", err);
}

enum outcome command_import(struct tool *t, struct error *err)
{
	return become(t, "import", 1, "a directory", err);
}
