#include "spool/keys.h"

#include <errno.h>

#include "lib/text.h"

/*
 * A key word is PREFIX, host name, '.', base32 of 32 + 32 bytes and a checksum. The public one carries the
 * public halves; the one in the file "secret" the seed of the signing key and the secret half of the sealing
 * key.
 */
#define PUBLIC_PREFIX "pb1."
#define SECRET_PREFIX "pbsecret1."
#define HALF	      32
#define CHECKSUM      5
#define WORD_BYTES    (2 * HALF + CHECKSUM)
#define WORD_TEXT     111 /* WORD_BYTES in base32 */

/* Hashed first, each with its closing NUL. */
#define PUBLIC_DOMAIN	   "packetboat key line 1"
#define SECRET_DOMAIN	   "packetboat secret 1"
#define FINGERPRINT_DOMAIN "packetboat fingerprint 1"

#define FINGERPRINT_BYTES 20
#define FINGERPRINT_GROUP 4

_Static_assert(crypto_sign_PUBLICKEYBYTES == HALF && crypto_sign_SEEDBYTES == HALF &&
		   crypto_box_PUBLICKEYBYTES == HALF && crypto_box_SECRETKEYBYTES == HALF,
    "both halves of a key word have 32 bytes");

enum key_kind { KEY_PUBLIC, KEY_SECRET };

static const struct {
	const char *prefix;
	const char *domain;
	const char *what;
} kinds[] = {
    [KEY_PUBLIC] = {PUBLIC_PREFIX, PUBLIC_DOMAIN, "key line"},
    [KEY_SECRET] = {SECRET_PREFIX, SECRET_DOMAIN, "secret key"},
};

/* What a key word says, secret or not: the caller wipes it. */
struct key_word {
	char host[LIMIT_HOST_NAME + 1];
	uint8_t sign[HALF];
	uint8_t seal[HALF];
};

static void hash_word(const char *domain, const char *host, const uint8_t *sign, const uint8_t *seal,
    uint8_t out[static crypto_generichash_BYTES])
{
	crypto_generichash_state hash;

	crypto_generichash_init(&hash, NULL, 0, crypto_generichash_BYTES);
	crypto_generichash_update(&hash, (const uint8_t *)domain, strlen(domain) + 1);
	crypto_generichash_update(&hash, (const uint8_t *)host, strlen(host) + 1);
	crypto_generichash_update(&hash, sign, HALF);
	crypto_generichash_update(&hash, seal, HALF);
	crypto_generichash_final(&hash, out, crypto_generichash_BYTES);
	sodium_memzero(&hash, sizeof hash);
}

/* A buffer that is never moved, so that no copy of a secret stays behind. */
static void secret_init(struct buf *b, size_t maximum)
{
	buf_init(b, maximum);
	buf_extend(b, maximum);
	buf_clear(b);
}

static void secret_release(struct buf *b)
{
	sodium_memzero(b->bytes, b->capacity);
	buf_release(b);
}

static void word_print(enum key_kind kind, const struct key_word *word, struct buf *out)
{
	uint8_t bytes[WORD_BYTES];
	uint8_t hash[crypto_generichash_BYTES];

	hash_word(kinds[kind].domain, word->host, word->sign, word->seal, hash);
	memcpy(bytes, word->sign, HALF);
	memcpy(bytes + HALF, word->seal, HALF);
	memcpy(bytes + 2 * HALF, hash, CHECKSUM);
	buf_text(out, kinds[kind].prefix);
	buf_text(out, word->host);
	buf_byte(out, '.');
	base32_encode(bytes, sizeof bytes, out);
	sodium_memzero(bytes, sizeof bytes);
}

static struct view trimmed(struct view v)
{
	while (v.length > 0 && strchr(" \t\r\n", v.bytes[v.length - 1]) != NULL)
		v.length--;
	while (v.length > 0 && strchr(" \t\r\n", v.bytes[0]) != NULL)
		v = view_from(v, 1);
	return v;
}

/* Splits off prefix and host name; V is then the base32 part. */
static enum outcome word_open(enum key_kind kind, struct view *v, struct key_word *word, struct error *err)
{
	struct view prefix = view_text(kinds[kind].prefix);
	const uint8_t *dot;
	size_t name;

	if (v->length < prefix.length || !view_same(view_of(v->bytes, prefix.length), prefix))
		return error_set(err, EX_DATAERR, "this is not a %s: it does not begin with \"%s\"", kinds[kind].what,
		    kinds[kind].prefix);
	*v = view_from(*v, prefix.length);
	dot = v->length > 0 ? memchr(v->bytes, '.', v->length) : NULL;
	name = dot != NULL ? (size_t)(dot - v->bytes) : v->length;
	if (name > 0 && name <= LIMIT_HOST_NAME)
		memcpy(word->host, v->bytes, name);
	text_lower_all(word->host);
	if (name > LIMIT_HOST_NAME || strlen(word->host) != name || !host_name_valid(word->host))
		return error_set(err, EX_DATAERR, "the host name in the %s is not a valid one", kinds[kind].what);
	*v = view_from(*v, name + 1);
	if (v->length != WORD_TEXT)
		return error_set(err, EX_DATAERR, "the %s of %s is too %s: it ends in %zu characters where %d belong",
		    kinds[kind].what, word->host, v->length < WORD_TEXT ? "short" : "long", v->length, WORD_TEXT);
	return OUTCOME_DONE;
}

static enum outcome word_parse(enum key_kind kind, struct view text, struct key_word *word, struct error *err)
{
	struct view v = trimmed(text);
	uint8_t hash[crypto_generichash_BYTES];
	char lower[WORD_TEXT + 1];
	struct buf bytes;
	enum outcome outcome;

	*word = (struct key_word){.host = ""};
	outcome = word_open(kind, &v, word, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	memcpy(lower, v.bytes, WORD_TEXT);
	lower[WORD_TEXT] = '\0';
	text_lower_all(lower);
	secret_init(&bytes, WORD_BYTES);
	if (!base32_decode(view_of(lower, WORD_TEXT), &bytes) || bytes.length != WORD_BYTES) {
		outcome = error_set(err, EX_DATAERR,
		    "the %s of %s holds a character that cannot stand there (a-z and 2-7 can)", kinds[kind].what,
		    word->host);
		goto out;
	}
	memcpy(word->sign, bytes.bytes, HALF);
	memcpy(word->seal, bytes.bytes + HALF, HALF);
	hash_word(kinds[kind].domain, word->host, word->sign, word->seal, hash);
	if (memcmp(hash, bytes.bytes + 2 * HALF, CHECKSUM) != 0)
		outcome = error_set(err, EX_DATAERR,
		    "the %s of %s does not match its checksum: a typing error, or a part of it is missing?",
		    kinds[kind].what, word->host);
out:
	secret_release(&bytes);
	sodium_memzero(lower, sizeof lower);
	return outcome;
}

/* ---- public keys -----------------------------------------------------------------------------------------
 */

void key_line_print(const struct public_keys *keys, char out[static KEY_LINE_TEXT])
{
	struct key_word word;
	struct buf text;

	memcpy(word.host, keys->host, sizeof word.host);
	memcpy(word.sign, keys->sign, HALF);
	memcpy(word.seal, keys->seal, HALF);
	buf_init(&text, KEY_LINE_TEXT - 1);
	word_print(KEY_PUBLIC, &word, &text);
	memcpy(out, text.bytes, text.length + 1);
	buf_release(&text);
}

enum outcome key_line_parse(const char *line, struct public_keys *keys, struct error *err)
{
	struct key_word word;
	enum outcome outcome = word_parse(KEY_PUBLIC, view_text(line), &word, err);

	*keys = (struct public_keys){.host = ""};
	if (outcome != OUTCOME_DONE)
		return outcome;
	memcpy(keys->host, word.host, sizeof keys->host);
	memcpy(keys->sign, word.sign, HALF);
	memcpy(keys->seal, word.seal, HALF);
	return OUTCOME_DONE;
}

void key_fingerprint(const struct public_keys *keys, char out[static KEY_FINGERPRINT_TEXT])
{
	uint8_t hash[crypto_generichash_BYTES];
	struct buf text;
	size_t length = 0;

	hash_word(FINGERPRINT_DOMAIN, keys->host, keys->sign, keys->seal, hash);
	buf_init(&text, KEY_FINGERPRINT_TEXT);
	base32_encode(hash, FINGERPRINT_BYTES, &text);
	for (size_t i = 0; i < text.length; i++) {
		if (i > 0 && i % FINGERPRINT_GROUP == 0)
			out[length++] = '-';
		out[length++] = (char)text.bytes[i];
	}
	out[length] = '\0';
	buf_release(&text);
}

/* ---- key files -------------------------------------------------------------------------------------------
 */

static enum outcome crypto_start(struct error *err)
{
	if (sodium_init() < 0)
		return error_set(err, EX_OSERR, "libsodium does not start: no source of randomness?");
	return OUTCOME_DONE;
}

/* Takes memory and fills in both halves of the keys. */
static enum outcome keys_expand(struct host_keys *keys, const struct key_word *secret, struct error *err)
{
	*keys = (struct host_keys){.sign_secret = sodium_malloc(crypto_sign_SECRETKEYBYTES),
	    .seal_secret = sodium_malloc(crypto_box_SECRETKEYBYTES)};
	if (keys->sign_secret == NULL || keys->seal_secret == NULL) {
		keys_release(keys);
		return error_set(err, EX_OSERR, "no guarded memory for the keys of %s", secret->host);
	}
	memcpy(keys->public.host, secret->host, sizeof keys->public.host);
	crypto_sign_seed_keypair(keys->public.sign, keys->sign_secret, secret->sign);
	memcpy(keys->seal_secret, secret->seal, HALF);
	crypto_scalarmult_base(keys->public.seal, keys->seal_secret);
	sodium_mprotect_readonly(keys->sign_secret);
	sodium_mprotect_readonly(keys->seal_secret);
	return OUTCOME_DONE;
}

void keys_release(struct host_keys *keys)
{
	sodium_free(keys->sign_secret);
	sodium_free(keys->seal_secret);
	keys->sign_secret = NULL;
	keys->seal_secret = NULL;
}

/* Commits TEXT as "secret", by a link, which of two makers only one gets. */
static enum outcome secret_commit(const struct dir *dir, struct view text, struct error *err)
{
	char temporary[40];
	int fd;
	enum outcome outcome;

	tmp_name(temporary);
	outcome = file_create(dir, temporary, &fd, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = file_write(fd, text.bytes, text.length, "the secret key", err);
	if (outcome == OUTCOME_DONE)
		outcome = file_sync(fd, "the secret key", err);
	if (outcome == OUTCOME_DONE)
		outcome = file_link(dir, temporary, dir, "secret", err);
	file_remove(dir, temporary, NULL);
	file_close(&fd);
	return outcome == OUTCOME_DONE ? dir_sync(dir, err) : outcome;
}

static enum outcome public_commit(const struct dir *dir, const struct public_keys *keys, struct error *err)
{
	char line[KEY_LINE_TEXT];
	struct buf text;
	enum outcome outcome;

	key_line_print(keys, line);
	buf_init(&text, KEY_LINE_TEXT + 1);
	buf_text(&text, line);
	buf_byte(&text, '\n');
	outcome = file_commit(dir, dir, "public", view_buf(&text), err);
	buf_release(&text);
	return outcome;
}

static enum outcome keys_make(const struct dir *dir, struct key_word *secret, struct error *err)
{
	struct host_keys keys;
	struct buf text;
	enum outcome outcome;

	randombytes_buf(secret->sign, HALF);
	randombytes_buf(secret->seal, HALF);
	outcome = keys_expand(&keys, secret, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	secret_init(&text, KEY_LINE_TEXT);
	word_print(KEY_SECRET, secret, &text);
	buf_byte(&text, '\n');
	outcome = secret_commit(dir, view_buf(&text), err);
	if (outcome == OUTCOME_DONE)
		outcome = public_commit(dir, &keys.public, err);
	secret_release(&text);
	keys_release(&keys);
	return outcome;
}

enum outcome keys_create(const struct dir *dir, const char *host, struct error *err)
{
	struct key_word secret = {.host = ""};
	enum outcome outcome = crypto_start(err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	if (!host_name_valid(host))
		return error_set(err, EX_DATAERR, "\"%s\" is not a valid host name", host);
	if (file_exists(dir, "secret", NULL) || file_exists(dir, "public", NULL))
		return error_set(err, EX_CANTCREAT, "%s holds keys already; they are kept as they are", dir->path);
	memcpy(secret.host, host, strlen(host) + 1);
	outcome = keys_make(dir, &secret, err);
	sodium_memzero(&secret, sizeof secret);
	return outcome;
}

static enum outcome secret_load(const struct dir *dir, struct key_word *word, struct error *err)
{
	struct buf text;
	enum outcome outcome;

	secret_init(&text, 4096);
	outcome = file_read(dir, "secret", &text, err);
	if (outcome == OUTCOME_DONE)
		outcome = word_parse(KEY_SECRET, view_buf(&text), word, err);
	secret_release(&text);
	if (outcome != OUTCOME_DONE && (err == NULL || err->code == EX_NOINPUT || err->code == EX_DATAERR)) {
		struct error why = err == NULL ? ERROR_NONE : *err;

		return error_set(err, EX_CONFIG,
		    "cannot use the keys in %s: %.400s; bring them back from a backup, or make new ones and "
		    "give the "
		    "new key line to every neighbour",
		    dir->path, why.text);
	}
	return outcome;
}

/* The file "public" is there for people, and may be missing; but it must not say something else. */
static enum outcome public_check(const struct dir *dir, const struct public_keys *keys, struct error *err)
{
	char line[KEY_LINE_TEXT];
	struct buf text;
	enum outcome outcome;

	if (!file_exists(dir, "public", NULL))
		return OUTCOME_DONE;
	buf_init(&text, 4096);
	key_line_print(keys, line);
	outcome = file_read(dir, "public", &text, err);
	if (outcome == OUTCOME_DONE && !view_is(trimmed(view_buf(&text)), line))
		outcome = error_set(err, EX_CONFIG,
		    "%s/public does not belong to %s/secret: remove it (the secret file is all that is "
		    "needed) or bring "
		    "both back from a backup",
		    dir->path, dir->path);
	buf_release(&text);
	return outcome;
}

enum outcome keys_load(struct host_keys *keys, const struct dir *dir, const char *host, struct error *err)
{
	struct key_word secret;
	enum outcome outcome = crypto_start(err);

	*keys = (struct host_keys){.sign_secret = NULL};
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = secret_load(dir, &secret, err);
	if (outcome == OUTCOME_DONE && strcmp(secret.host, host) != 0)
		outcome = error_set(err, EX_CONFIG,
		    "the keys in %s are those of the host %s, not of %s: correct \"host\" in the "
		    "configuration, or the "
		    "directory",
		    dir->path, secret.host, host);
	if (outcome == OUTCOME_DONE)
		outcome = keys_expand(keys, &secret, err);
	sodium_memzero(&secret, sizeof secret);
	if (outcome == OUTCOME_DONE)
		outcome = public_check(dir, &keys->public, err);
	if (outcome != OUTCOME_DONE)
		keys_release(keys);
	return outcome;
}

enum outcome keys_check_mode(const struct dir *dir, struct error *err)
{
	struct stat st;
	int fd;
	enum outcome outcome;

	if (fstat(dir->fd, &st) != 0)
		return error_errno(err, errno, "cannot ask for the permissions of %s", dir->path);
	if ((st.st_mode & 077) != 0)
		return error_set(err, EX_NOPERM, "%s, which holds secret keys, is open to others: chmod 700 %s",
		    dir->path, dir->path);
	outcome = file_open(dir, "secret", &fd, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (fstat(fd, &st) != 0)
		outcome = error_errno(err, errno, "cannot ask for the permissions of %s/secret", dir->path);
	else if ((st.st_mode & 077) != 0)
		outcome = error_set(
		    err, EX_NOPERM, "%s/secret is open to others: chmod 600 %s/secret", dir->path, dir->path);
	file_close(&fd);
	return outcome;
}
