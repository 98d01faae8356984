#include "lib/net_channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/alloc.h"

/* Where there is none, the end of the stream leaves in a segment of its own. */
#ifndef MSG_MORE
#define MSG_MORE 0
#endif

/* ---- descriptors ----------------------------------------------------------------------------------------- */

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Files and devices such as /dev/null cannot be waited for, and never make one wait. */
static bool is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && !S_ISSOCK(st.st_mode) && !S_ISFIFO(st.st_mode) && isatty(fd) == 0;
}

/* Gives the flags that FD had. */
static int make_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0 && (flags & O_NONBLOCK) == 0)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	return flags;
}

void channel_name(struct channel *c, const struct sockaddr *address, socklen_t length)
{
	peer_name(address, length, c->peer);
}

void channel_init(struct channel *c, int in, int out)
{
	int on = 1;

	*c = (struct channel){.in = in, .out = out, .in_flags = -1, .out_flags = -1};
	c->in_socket = is_socket(in);
	c->out_socket = in == out ? c->in_socket : is_socket(out);
	c->always_ready = is_file(in);
	c->in_flags = make_nonblocking(in);
	c->out_flags = in == out ? c->in_flags : make_nonblocking(out);
	(void)fcntl(in, F_SETFD, FD_CLOEXEC);
	if (in != out)
		(void)fcntl(out, F_SETFD, FD_CLOEXEC);
	/* Refused by what is not TCP. */
	if (c->out_socket)
		(void)setsockopt(out, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	peer_of(in, c->peer);
}

void channel_init_known(struct channel *c, int fd, const struct sockaddr *address, socklen_t length)
{
	*c = (struct channel){.in = fd, .out = fd, .in_flags = -1, .out_flags = -1};
	c->in_socket = c->out_socket = true;
	/* A Unix socket without a name has no more than the family. */
	snprintf(c->peer, sizeof c->peer, address->sa_family == AF_UNIX ? "local" : "unknown");
	channel_name(c, address, length);
}

static void close_one(int fd, int flags)
{
	int null;

	if (fd < 0)
		return;
	if (fd > STDERR_FILENO) {
		close(fd);
		return;
	}
	/* Others hold the same open file. And a standard descriptor that is free would be given to the next file
	 * that is opened, and what somebody prints would land in it. */
	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags);
	if (file_open_null(&null, NULL) != OUTCOME_DONE) {
		close(fd);
		return;
	}
	(void)dup2(null, fd);
	close(null);
}

void channel_close(struct channel *c)
{
	if (c->ssl != NULL) {
		/* Without the good-bye a session counts as damaged, and its ticket as worthless. */
		SSL_set_quiet_shutdown(c->ssl, 1);
		SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
	}
	c->ssl = NULL;
	tls_drop(c->tls);
	c->tls = NULL;
	free(c->tls_text);
	c->tls_text = NULL;
	close_one(c->in, c->in_flags);
	if (c->out != c->in)
		close_one(c->out, c->out_flags);
	c->in = c->out = -1;
}

/* ---- in clear -------------------------------------------------------------------------------------------- */

static bool passes(int errnum)
{
	return errnum == EAGAIN || errnum == EWOULDBLOCK || errnum == EINTR;
}

static enum channel_result read_clear(struct channel *c, void *bytes, size_t size, size_t *got, struct error *err)
{
	ssize_t count = read(c->in, bytes, size);

	if (count > 0) {
		*got = (size_t)count;
		return CHANNEL_MOVED;
	}
	if (count == 0)
		return CHANNEL_END;
	if (passes(errno)) {
		c->blocked = BLOCKED_READING;
		return CHANNEL_AGAIN;
	}
	error_set(err, EX_TEMPFAIL, "the connection with %s broke: %s", c->peer, strerror(errno));
	return CHANNEL_FAILED;
}

enum channel_result channel_write_clear(
    struct channel *c, const void *bytes, size_t size, size_t *sent, struct error *err)
{
	int flags = MSG_NOSIGNAL | (c->last ? MSG_MORE : 0);
	ssize_t count = c->out_socket ? send(c->out, bytes, size, flags) : write(c->out, bytes, size);

	if (count >= 0) {
		*sent = (size_t)count;
		return CHANNEL_MOVED;
	}
	if (passes(errno)) {
		c->blocked = BLOCKED_WRITING;
		return CHANNEL_AGAIN;
	}
	error_set(err, EX_TEMPFAIL, "the connection with %s broke while writing: %s", c->peer, strerror(errno));
	return CHANNEL_FAILED;
}

enum channel_result channel_discard(struct channel *c)
{
	char bytes[4096];
	size_t got;

	return read_clear(c, bytes, sizeof bytes, &got, NULL);
}

/* ---- under TLS ------------------------------------------------------------------------------------------- */

enum outcome channel_start_tls(struct channel *c, struct tls *tls, const char *name, struct error *err)
{
	c->ssl = tls_session(tls, name, err);
	if (c->ssl == NULL)
		return err->outcome;
	if (SSL_set_rfd(c->ssl, c->in) != 1 || SSL_set_wfd(c->ssl, c->out) != 1)
		return error_set(err, EX_PROTOCOL, "TLS with %s cannot begin: %s", c->peer, tls_reason());
	tls_hold(tls);
	c->tls = tls;
	return OUTCOME_DONE;
}

/* Why the peer's certificate is not believed; X509_V_OK: that is not the trouble. */
static long disbelief(const struct channel *c)
{
	return SSL_get_verify_mode(c->ssl) == SSL_VERIFY_NONE ? X509_V_OK : SSL_get_verify_result(c->ssl);
}

static const char *tls_why(const struct channel *c)
{
	long verdict = disbelief(c);

	if (verdict == X509_V_OK)
		return tls_reason();
	ERR_clear_error();
	return X509_verify_cert_error_string(verdict);
}

/* Nothing is wrong with the certificate but that nobody here knows who vouches for it. */
static const char *tls_advice(const struct channel *c)
{
	switch (c->ssl == NULL ? X509_V_OK : disbelief(c)) {
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return "; who is to be believed is said by the option authorities";
	default:
		return "";
	}
}

static enum channel_result tls_failed(struct channel *c, const char *why, struct error *err)
{
	c->broken = true;
	error_set(err, EX_PROTOCOL, "%s with %s failed: %s%s", c->secured ? "TLS" : "the TLS handshake", c->peer, why,
	    tls_advice(c));
	return CHANNEL_FAILED;
}

/* What OpenSSL's RESULT, which is none of success, asks for. ERRNUM: errno after the call. */
static enum channel_result tls_result(struct channel *c, int result, int errnum, struct error *err)
{
	switch (SSL_get_error(c->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		c->blocked = BLOCKED_READING;
		return CHANNEL_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		c->blocked = BLOCKED_WRITING;
		return CHANNEL_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return c->secured ? CHANNEL_END : tls_failed(c, "the connection was closed", err);
	case SSL_ERROR_SYSCALL:
		c->broken = true;
		ERR_clear_error();
		if (errnum == 0)
			return c->secured ? CHANNEL_END : tls_failed(c, "the connection was closed", err);
		if (!c->secured)
			return tls_failed(c, strerror(errnum), err);
		error_set(err, EX_TEMPFAIL, "the connection with %s broke: %s", c->peer, strerror(errnum));
		return CHANNEL_FAILED;
	default:
		return tls_failed(c, tls_why(c), err);
	}
}

enum channel_result channel_handshake(struct channel *c, struct error *err)
{
	int result;

	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(c->ssl);
	if (result != 1)
		return tls_result(c, result, errno, err);
	c->secured = true;
	return CHANNEL_MOVED;
}

enum channel_result channel_read(struct channel *c, void *bytes, size_t size, size_t *got, struct error *err)
{
	int result;

	if (c->ssl == NULL)
		return read_clear(c, bytes, size, got, err);
	ERR_clear_error();
	errno = 0;
	result = SSL_read_ex(c->ssl, bytes, size, got);
	return result == 1 ? CHANNEL_MOVED : tls_result(c, result, errno, err);
}

enum channel_result channel_write(struct channel *c, const void *bytes, size_t size, size_t *sent, struct error *err)
{
	int result;

	if (c->ssl == NULL)
		return channel_write_clear(c, bytes, size, sent, err);
	ERR_clear_error();
	errno = 0;
	result = SSL_write_ex(c->ssl, bytes, size, sent);
	return result == 1 ? CHANNEL_MOVED : tls_result(c, result, errno, err);
}

bool channel_holds(const struct channel *c)
{
	return c->ssl != NULL && SSL_has_pending(c->ssl) != 0;
}

bool channel_end(struct channel *c)
{
	if (c->ssl != NULL && c->secured && !c->broken) {
		ERR_clear_error();
		(void)SSL_shutdown(c->ssl);
		ERR_clear_error();
	}
	return c->out_socket && shutdown(c->out, SHUT_WR) == 0;
}

const char *channel_tls_text(struct channel *c)
{
	if (!c->secured)
		return NULL;
	if (c->tls_text == NULL)
		c->tls_text = mem_format("%s %s", SSL_get_version(c->ssl), SSL_get_cipher_name(c->ssl));
	return c->tls_text;
}
