/*
 * peak FILE PROGRAM [ARG...]: runs PROGRAM and writes the most memory that it (or a child it waited for) had
 * resident, in kilobytes, to FILE. Leaves with the program's status, 128 + N when signal N ended it.
 */
#include <err.h>
#include <sys/resource.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	struct rusage usage;
	int status;
	pid_t child;
	FILE *out;

	if (argc < 3)
		errx(64, "usage: peak FILE PROGRAM [ARG...]");
	child = fork();
	if (child < 0)
		err(71, "cannot fork");
	if (child == 0) {
		execvp(argv[2], argv + 2);
		err(127, "cannot run %s", argv[2]);
	}
	if (wait4(child, &status, 0, &usage) < 0)
		err(71, "cannot wait for %s", argv[2]);
	out = fopen(argv[1], "w");
	if (out == NULL || fprintf(out, "%ld\n", usage.ru_maxrss) < 0 || fclose(out) != 0)
		err(73, "cannot write %s", argv[1]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
