#include "lib/secret.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/file.h"

/* A password, with its line end. */
#define SECRET_FILE 1100

static enum outcome secret_check(const struct dir *d, const char *name, const char *path, struct error *err)
{
	struct stat st;

	if (fstatat(d->fd, name, &st, 0) == 0 && (st.st_mode & 0077) != 0)
		return error_set(
		    err, EX_CONFIG, "the password in %s can be read by others: chmod 600 %s", path, path);
	return OUTCOME_DONE;
}

enum outcome secret_read(const char *path, char **secret, struct error *err)
{
	const char *slash = strrchr(path, '/');
	char *parent = mem_copy(path, slash == path ? 1 : (size_t)(slash - path));
	struct buf text;
	struct dir d;
	enum outcome outcome = dir_open(&d, NULL, parent, err);

	*secret = NULL;
	buf_init(&text, SECRET_FILE);
	if (outcome == OUTCOME_DONE)
		outcome = secret_check(&d, slash + 1, path, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_read(&d, slash + 1, &text, err);
	if (outcome == OUTCOME_DONE) {
		text.length = strcspn(buf_string(&text), "\r\n");
		if (text.length == 0)
			outcome = error_set(err, EX_CONFIG, "there is no password in %s", path);
		else
			*secret = mem_copy(text.bytes, text.length);
	}
	if (text.bytes != NULL)
		sodium_memzero(text.bytes, text.capacity);
	buf_release(&text);
	dir_close(&d);
	free(parent);
	return outcome;
}

void secret_free(char *secret)
{
	if (secret != NULL)
		sodium_memzero(secret, strlen(secret));
	free(secret);
}
