/*
 * TLS contexts for servers and clients (OpenSSL 3): TLS 1.2 and later, certificates from PEM files.
 */
#ifndef LIB_NET_TLS_H
#define LIB_NET_TLS_H

#include "lib/file.h"

struct tls; /* counted: conns hold it while they use it */

enum tls_check {
	TLS_CHECK_NONE, /* encryption against listeners only */
	TLS_CHECK_NAME, /* a valid chain for the server's name (RFC 6125, RFC 7817) */
};

/* For a server: certificate chain and key. Mistakes are EX_CONFIG with a sentence that names file and cause. */
enum outcome tls_server(struct tls **tls, const char *certificate, const char *key, struct error *err);
/* For a client. AUTHORITIES: a PEM file of those believed, null: the system's. */
enum outcome tls_client(struct tls **tls, enum tls_check check, const char *authorities, struct error *err);
/*
 * Makes a self-signed certificate for NAME (also as subjectAltName; and for localhost) with a new P-256 key, valid from long ago to the
 * far future so that a wrong clock does no harm, into CERTIFICATE and KEY (mode 0600) in directory D. What stands
 * already under both names is kept; a key that stands alone gets a certificate; a certificate alone is EX_CONFIG. Of several
 * callers at once one makes them, and the others find them.
 */
enum outcome tls_make_self_signed(
    const struct dir *d, const char *certificate, const char *key, const char *name, struct error *err);
/*
 * For a server as it is configured: the chain in CERTIFICATE with KEY (null: in the same file); without a CERTIFICATE, one
 * of our own making for NAME in directory KEYS, under the names below, which stays the same from start to start.
 */
#define TLS_OWN_CERTIFICATE "tls-certificate.pem"
#define TLS_OWN_KEY	    "tls-key.pem"
struct tls_source {
	const char *certificate;
	const char *key;
	const char *keys;
	const char *name;
};
enum outcome tls_server_from(struct tls **tls, const struct tls_source *source, struct error *err);
void tls_hold(struct tls *tls);
void tls_drop(struct tls *tls); /* null-safe */

/* For net_conn.c: OpenSSL's object for one connection, with the server's NAME for SNI and the check (null as server).
 * Freed with SSL_free. Null and a sentence when NAME can be no server's. */
struct ssl_st *tls_session(const struct tls *tls, const char *name, struct error *err);
/* Why OpenSSL's last call failed, in its words or the system's; its list of errors is empty afterwards. */
const char *tls_reason(void);

#endif
