/*
 * Runs a fuzz driver over stored inputs without libFuzzer: every file of the directories named on the
 * command line, and every prefix of the small ones, each in memory of exactly its size so that a sanitizer sees a
 * read past the end.
 */
#include <dirent.h>
#include <err.h>
#include <stdint.h>
#include <sys/stat.h>

#include "lib/alloc.h"

#define REPLAY_PREFIXES 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void replay_bytes(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	if (copy == NULL)
		err(1, "memory");
	if (size > 0)
		memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat st;
	uint8_t *bytes;
	size_t size;

	if (file == NULL || fstat(fileno(file), &st) != 0)
		err(1, "%s", path);
	bytes = malloc((size_t)st.st_size + 1);
	if (bytes == NULL)
		err(1, "memory");
	size = fread(bytes, 1, (size_t)st.st_size, file);
	fclose(file);
	replay_bytes(bytes, size);
	for (size_t prefix = 0; size <= REPLAY_PREFIXES && prefix < size; prefix++)
		replay_bytes(bytes, prefix);
	free(bytes);
}

static size_t replay_directory(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t count = 0;

	if (dir == NULL)
		err(1, "%s", path);
	while ((entry = readdir(dir)) != NULL) {
		char *name;

		if (entry->d_name[0] == '.')
			continue;
		name = mem_format("%s/%s", path, entry->d_name);
		replay_file(name);
		free(name);
		count++;
	}
	closedir(dir);
	return count;
}

int main(int argc, char **argv)
{
	size_t count = 0;

	for (int i = 1; i < argc; i++)
		count += replay_directory(argv[i]);
	printf("%zu inputs\n", count);
	return count > 0 ? 0 : 1;
}
