#include "lib/net_tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/alloc.h"
#include "lib/limits.h"
#include "lib/lock.h"

/* A clock may be off by decades where this runs; RFC 5280 4.1.2.5 has the last date of its short form in 2049. */
#define VALID_FROM "20000101000000Z"
#define VALID_TO   "20491231235959Z"
/* Held by who makes a certificate, in its directory; never removed. */
#define MAKING_LOCK "tls.lock"

struct tls {
	SSL_CTX *context;
	unsigned holders;
	enum tls_check check;
	bool server;
};

const char *tls_reason(void)
{
	/* The first error is the cause, those behind it tell the way up. */
	unsigned long first = ERR_get_error();
	const char *text;

	ERR_clear_error();
	if (first == 0)
		return "OpenSSL does not say why";
	if (ERR_SYSTEM_ERROR(first))
		return strerror(ERR_GET_REASON(first));
	text = ERR_reason_error_string(first);
	return text == NULL ? "OpenSSL has no words for it" : text;
}

/* ---- contexts -------------------------------------------------------------------------------------------- */

/* A daemon has no terminal to ask at: a key under a password is an error. */
static int no_password(char *out, int size, int writing, void *context)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

static struct tls *tls_new(const SSL_METHOD *method)
{
	struct tls *tls = mem_alloc(sizeof *tls);

	tls->holders = 1;
	tls->context = SSL_CTX_new(method);
	if (tls->context == NULL) {
		free(tls);
		return NULL;
	}
	SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
	/* Mail says itself where it ends, so a peer that closes without TLS's good-bye has done no harm. */
	SSL_CTX_set_options(
	    tls->context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(tls->context,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* One read(2) a record instead of two. */
	SSL_CTX_set_read_ahead(tls->context, 1);
	/* Tickets bring sessions back without memory here. */
	SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(tls->context, no_password);
	return tls;
}

static enum outcome no_openssl(struct error *err)
{
	return error_set(err, EX_SOFTWARE, "OpenSSL cannot be used: %s", tls_reason());
}

/* A sentence for what OpenSSL did not find in a file. */
static enum outcome bad_file(const char *what, const char *path, struct error *err)
{
	unsigned long first = ERR_peek_error();

	if (first != 0 && ERR_SYSTEM_ERROR(first))
		return error_set(err, EX_CONFIG, "cannot read the %s %s: %s", what, path, tls_reason());
	for (unsigned long next; (next = ERR_get_error()) != 0;) {
		if (ERR_GET_LIB(next) == ERR_LIB_PEM && ERR_GET_REASON(next) == PEM_R_BAD_PASSWORD_READ)
			return error_set(err, EX_CONFIG,
			    "the %s %s is protected by a password, which a daemon cannot ask for", what, path);
		first = next;
	}
	return error_set(err, EX_CONFIG, "%s holds no %s in PEM form that OpenSSL can use (%s)", path, what,
	    first == 0 ? "no reason given" : ERR_reason_error_string(first));
}

/* ADVICE: what to do when the two do not belong together, behind the sentence that says so. */
static enum outcome load_pair(
    SSL_CTX *context, const char *certificate, const char *key, const char *advice, struct error *err)
{
	unsigned long last;

	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
		return bad_file("certificate", certificate, err);
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1 &&
	    SSL_CTX_check_private_key(context) == 1)
		return OUTCOME_DONE;
	last = ERR_peek_last_error();
	if (ERR_GET_LIB(last) == ERR_LIB_X509 || ERR_GET_REASON(last) == SSL_R_NO_CERTIFICATE_ASSIGNED) {
		ERR_clear_error();
		return error_set(
		    err, EX_CONFIG, "the key %s does not belong to the certificate %s%s", key, certificate, advice);
	}
	return bad_file("private key", key, err);
}

static enum outcome tls_server_advised(
    struct tls **tls, const char *certificate, const char *key, const char *advice, struct error *err)
{
	enum outcome outcome;

	*tls = tls_new(TLS_server_method());
	if (*tls == NULL)
		return no_openssl(err);
	(*tls)->server = true;
	SSL_CTX_set_options((*tls)->context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	outcome = load_pair((*tls)->context, certificate, key, advice, err);
	if (outcome != OUTCOME_DONE) {
		tls_drop(*tls);
		*tls = NULL;
	}
	return outcome;
}

enum outcome tls_server(struct tls **tls, const char *certificate, const char *key, struct error *err)
{
	return tls_server_advised(tls, certificate, key, "", err);
}

enum outcome tls_client(struct tls **tls, enum tls_check check, const char *authorities, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;
	int loaded;

	*tls = tls_new(TLS_client_method());
	if (*tls == NULL)
		return no_openssl(err);
	(*tls)->check = check;
	if (check == TLS_CHECK_NONE)
		return OUTCOME_DONE;
	ERR_clear_error();
	SSL_CTX_set_verify((*tls)->context, SSL_VERIFY_PEER, NULL);
	loaded = authorities == NULL ? SSL_CTX_set_default_verify_paths((*tls)->context)
				     : SSL_CTX_load_verify_file((*tls)->context, authorities);
	if (loaded != 1) {
		outcome =
		    bad_file("certificate of an authority", authorities == NULL ? "the system" : authorities, err);
		tls_drop(*tls);
		*tls = NULL;
	}
	return outcome;
}

void tls_hold(struct tls *tls)
{
	tls->holders++;
}

void tls_drop(struct tls *tls)
{
	if (tls == NULL || --tls->holders > 0)
		return;
	SSL_CTX_free(tls->context);
	free(tls);
}

/* ---- sessions -------------------------------------------------------------------------------------------- */

static bool is_address(const char *name)
{
	struct in6_addr address;

	return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

/* RFC 6066 3: a name for SNI, but no address, and without the dot at its end. */
static bool expect_name(SSL *ssl, const char *name, enum tls_check check)
{
	size_t length = strlen(name);
	bool address = is_address(name);
	char *bare = mem_copy(name, length > 0 && name[length - 1] == '.' ? length - 1 : length);
	bool good = address || SSL_set_tlsext_host_name(ssl, bare) == 1;

	if (good && check == TLS_CHECK_NAME) {
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		good = bare[0] != '\0' && (address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), bare) == 1
						   : SSL_set1_host(ssl, bare) == 1);
	}
	free(bare);
	return good;
}

struct ssl_st *tls_session(const struct tls *tls, const char *name, struct error *err)
{
	SSL *ssl;

	ERR_clear_error();
	ssl = SSL_new(tls->context);
	if (ssl == NULL) {
		no_openssl(err);
		return NULL;
	}
	if (tls->server) {
		SSL_set_accept_state(ssl);
		return ssl;
	}
	SSL_set_connect_state(ssl);
	if (!expect_name(ssl, name == NULL ? "" : name, tls->check)) {
		error_set(err, EX_PROTOCOL, "no TLS session can be begun with a server called \"%s\": %s",
		    name == NULL ? "" : name, tls_reason());
		SSL_free(ssl);
		return NULL;
	}
	return ssl;
}

/* ---- a certificate of our own ---------------------------------------------------------------------------- */

static bool add_alternative(GENERAL_NAMES *names, int type, const void *bytes, int length)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *value = ASN1_STRING_type_new(type == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);

	if (name == NULL || value == NULL || ASN1_STRING_set(value, bytes, length) != 1 ||
	    sk_GENERAL_NAME_push(names, name) == 0) {
		GENERAL_NAME_free(name);
		ASN1_STRING_free(value);
		return false;
	}
	GENERAL_NAME_set0_value(name, type, value);
	return true;
}

static bool set_alternatives(X509 *certificate, const char *name)
{
	static const unsigned char loopback4[4] = {127, 0, 0, 1};
	static const unsigned char loopback6[16] = {[15] = 1};
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool good = names != NULL && add_alternative(names, GEN_DNS, name, (int)strlen(name)) &&
		    (strcmp(name, "localhost") == 0 || add_alternative(names, GEN_DNS, "localhost", 9)) &&
		    add_alternative(names, GEN_IPADD, loopback4, sizeof loopback4) &&
		    add_alternative(names, GEN_IPADD, loopback6, sizeof loopback6) &&
		    X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;

	GENERAL_NAMES_free(names);
	return good;
}

/* It vouches for nobody else. */
static bool set_no_authority(X509 *certificate)
{
	BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
	bool good = constraints != NULL &&
		    X509_add1_ext_i2d(certificate, NID_basic_constraints, constraints, 1, X509V3_ADD_DEFAULT) == 1;

	BASIC_CONSTRAINTS_free(constraints);
	return good;
}

static bool set_serial(X509 *certificate)
{
	unsigned char bytes[16];
	BIGNUM *number;
	bool good;

	if (RAND_bytes(bytes, sizeof bytes) != 1)
		return false;
	/* RFC 5280 4.1.2.2: positive and not zero. */
	bytes[0] = (unsigned char)((bytes[0] & 0x3f) | 0x40);
	number = BN_bin2bn(bytes, sizeof bytes, NULL);
	good = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
	BN_free(number);
	return good;
}

static bool set_subject(X509 *certificate, const char *name)
{
	/* RFC 5280, ub-common-name: a longer one is told by subjectAltName alone. */
	const char *common = strlen(name) <= 64 ? name : "mail server";
	X509_NAME *subject = X509_get_subject_name(certificate);

	return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)common, -1, -1, 0) ==
		   1 &&
	       X509_set_issuer_name(certificate, subject) == 1;
}

static X509 *self_signed(EVP_PKEY *key, const char *name)
{
	X509 *certificate = X509_new();

	if (certificate != NULL && X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
	    ASN1_TIME_set_string_X509(X509_getm_notBefore(certificate), VALID_FROM) == 1 &&
	    ASN1_TIME_set_string_X509(X509_getm_notAfter(certificate), VALID_TO) == 1 &&
	    set_subject(certificate, name) && X509_set_pubkey(certificate, key) == 1 &&
	    set_no_authority(certificate) && set_alternatives(certificate, name) &&
	    X509_sign(certificate, key, EVP_sha256()) != 0)
		return certificate;
	X509_free(certificate);
	return NULL;
}

/* A name of any kind stands: a link that an operator put there is not replaced. */
static bool stands(const struct dir *d, const char *name)
{
	struct stat st;

	return fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static enum outcome commit_bio(const struct dir *d, const char *name, BIO *bio, struct error *err)
{
	char *bytes = NULL;
	long length = BIO_get_mem_data(bio, &bytes);

	return file_commit(d, d, name, view_of(bytes, length > 0 ? (size_t)length : 0), err);
}

/* Writes the certificate for PAIR, or for a new key, which is written first. */
static enum outcome make_pair(const struct dir *d, const char *certificate, const char *key, const char *name,
    EVP_PKEY *pair, struct error *err)
{
	bool fresh = pair == NULL;
	EVP_PKEY *mine = fresh ? EVP_EC_gen("P-256") : pair;
	X509 *made = mine == NULL ? NULL : self_signed(mine, name);
	BIO *key_text = BIO_new(BIO_s_mem());
	BIO *text = BIO_new(BIO_s_mem());
	enum outcome outcome = OUTCOME_DONE;

	if (made == NULL || text == NULL || key_text == NULL || PEM_write_bio_X509(text, made) != 1 ||
	    PEM_write_bio_PKCS8PrivateKey(key_text, mine, NULL, NULL, 0, NULL, NULL) != 1)
		outcome = error_set(err, EX_SOFTWARE, "cannot make a certificate for %s: %s", name, tls_reason());
	if (outcome == OUTCOME_DONE && fresh)
		outcome = commit_bio(d, key, key_text, err);
	if (outcome == OUTCOME_DONE)
		outcome = commit_bio(d, certificate, text, err);
	BIO_free(text);
	BIO_free(key_text);
	X509_free(made);
	if (fresh)
		EVP_PKEY_free(mine);
	return outcome;
}

static enum outcome read_key(const struct dir *d, const char *key, EVP_PKEY **pair, struct error *err)
{
	struct buf text;
	BIO *bio;
	enum outcome outcome;

	buf_init(&text, COPY_CHUNK);
	outcome = file_read(d, key, &text, err);
	if (outcome == OUTCOME_DONE) {
		bio = BIO_new_mem_buf(text.bytes, (int)text.length);
		*pair = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
		BIO_free(bio);
		if (*pair == NULL) {
			char *path = mem_format("%s/%s", d->path, key);

			outcome = bad_file("private key", path, err);
			free(path);
		}
	}
	if (text.bytes != NULL)
		OPENSSL_cleanse(text.bytes, text.capacity);
	buf_release(&text);
	return outcome;
}

static enum outcome make_missing(
    const struct dir *d, const char *certificate, const char *key, const char *name, struct error *err)
{
	EVP_PKEY *pair = NULL;
	enum outcome outcome = OUTCOME_DONE;

	if (stands(d, certificate))
		return error_set(err, EX_CONFIG,
		    "there is a certificate %s/%s, but not its key %s/%s: bring the key, or remove the certificate "
		    "so "
		    "that both are made anew",
		    d->path, certificate, d->path, key);
	ERR_clear_error();
	if (stands(d, key))
		outcome = read_key(d, key, &pair, err);
	if (outcome == OUTCOME_DONE)
		outcome = make_pair(d, certificate, key, name, pair, err);
	EVP_PKEY_free(pair);
	return outcome;
}

static bool pair_stands(const struct dir *d, const char *certificate, const char *key)
{
	return stands(d, certificate) && stands(d, key);
}

enum outcome tls_make_self_signed(
    const struct dir *d, const char *certificate, const char *key, const char *name, struct error *err)
{
	struct lock lock = LOCK_NONE;
	enum outcome outcome;

	if (pair_stands(d, certificate, key))
		return OUTCOME_DONE;
	/* Servers are started together, and each finds that there is none. */
	outcome = lock_take(&lock, d, MAKING_LOCK, err);
	if (outcome == OUTCOME_DONE && !pair_stands(d, certificate, key))
		outcome = make_missing(d, certificate, key, name, err);
	lock_release(&lock);
	return outcome;
}

/* ---- as configured --------------------------------------------------------------------------------------- */

static enum outcome server_of_ours(struct tls **tls, const struct tls_source *source, struct error *err)
{
	char *certificate = mem_format("%s/" TLS_OWN_CERTIFICATE, source->keys);
	char *key = mem_format("%s/" TLS_OWN_KEY, source->keys);
	struct dir keys = DIR_CLOSED;
	enum outcome outcome = dir_open(&keys, NULL, source->keys, err);

	if (outcome == OUTCOME_DONE)
		outcome = tls_make_self_signed(&keys, TLS_OWN_CERTIFICATE, TLS_OWN_KEY, source->name, err);
	dir_close(&keys);
	if (outcome == OUTCOME_DONE && source->key != NULL)
		outcome = tls_server(tls, certificate, source->key, err);
	else if (outcome == OUTCOME_DONE)
		outcome = tls_server_advised(tls, certificate, key, "; remove both, and they are made anew", err);
	free(certificate);
	free(key);
	return outcome;
}

enum outcome tls_server_from(struct tls **tls, const struct tls_source *source, struct error *err)
{
	if (source->certificate == NULL)
		return server_of_ours(tls, source, err);
	return tls_server(tls, source->certificate, source->key != NULL ? source->key : source->certificate, err);
}
