/*
 * The Maildir of maria in a scratch directory, and what another program does there.
 *
 *	TestSuite(x, .init = kit_setup, .fini = kit_teardown);
 *	put("new/1.a", "text\n");
 *	d = opened();
 */
#ifndef TESTS_MAILDROP_KIT_H
#define TESTS_MAILDROP_KIT_H

#include "bridge-pop3/maildrop.h"
#include "bridge-pop3/maildrop_list.h"
#include "queue/maildir.h"
#include "tests/unit/scratch.h"

static struct dir mail;

static inline void kit_setup(void)
{
	struct error err = ERROR_NONE;

	mail = scratch_open();
	cr_assert_eq(maildir_make(&mail, "maria", &err), OUTCOME_DONE, "%s", err.text);
}

static inline void kit_teardown(void)
{
	scratch_close(&mail);
}

/* NAME: "new/..." or "cur/...". */
static inline void put(const char *name, const char *text)
{
	char *path = mem_format("maria/%s", name);
	struct error err = ERROR_NONE;
	int fd;

	cr_assert_eq(file_create(&mail, path, &fd, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(file_write(fd, text, strlen(text), path, &err), OUTCOME_DONE);
	file_close(&fd);
	free(path);
}

static inline void move(const char *name, const char *other)
{
	char *from = mem_format("maria/%s", name);
	char *to = mem_format("maria/%s", other);

	cr_assert_eq(file_rename(&mail, from, &mail, to, NULL), OUTCOME_DONE);
	free(from);
	free(to);
}

static inline void take_away(const char *name)
{
	char *path = mem_format("maria/%s", name);
	bool found = false;

	cr_assert_eq(file_remove_found(&mail, path, &found, NULL), OUTCOME_DONE);
	cr_assert(found, "%s", name);
	free(path);
}

static inline bool is_there(const char *name)
{
	char *path = mem_format("maria/%s", name);
	bool found = file_exists(&mail, path, NULL);

	free(path);
	return found;
}

static inline struct maildrop *opened(void)
{
	struct maildrop *d;
	struct error err = ERROR_NONE;
	bool in_use;

	cr_assert_eq(maildrop_open(&d, &mail, "maria", &in_use, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_not(in_use);
	return d;
}

/* The UID of message NUMBER, to be freed. */
static inline char *uid(const struct maildrop *d, size_t number)
{
	struct buf out;

	buf_init(&out, 100);
	maildrop_uid(d, number, &out);
	return buf_detach(&out);
}

/* The UID of the only message. */
static inline char *only_uid(void)
{
	struct maildrop *d = opened();
	char *text;

	cr_assert_eq(maildrop_count(d), 1);
	text = uid(d, 0);
	maildrop_close(d);
	return text;
}

static inline void expect_text(struct maildrop *d, size_t number, const char *text)
{
	struct error err = ERROR_NONE;
	char bytes[100] = "";
	uint64_t size;
	int fd;

	cr_assert_eq(maildrop_message(d, number, &fd, &size, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(size, strlen(text));
	cr_assert_eq(file_read_at(fd, bytes, (size_t)size, 0, "it", &err), OUTCOME_DONE);
	cr_expect_str_eq(bytes, text);
	file_close(&fd);
}

static inline void set_time(const char *name, time_t seconds)
{
	char *path = mem_format("maria/%s", name);
	const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

	cr_assert_eq(utimensat(mail.fd, path, times, 0), 0);
	free(path);
}

#endif
