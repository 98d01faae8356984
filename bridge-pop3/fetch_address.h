/*
 * Whose is a message that lay in an outside box, and whom does it come from? Told from its header section and what the
 * configuration says of the box.
 *
 *  - the sender is that of Return-Path, which the provider's server wrote when it laid the mail there (RFC 5321 4.4); without a good
 *    one the null sender, so that nobody is bothered with reports about mail that he did not send
 *  - the recipient is `to`; of a multidrop box it is who the first field of the configured name says, the one that the provider
 *    wrote last, if he is served here; who is at home here and is not, or cannot be told, is replaced by `to`. The header is a stranger's word: it is judged as a stranger's RCPT would be, and can never make
 *    this host relay
 */
#ifndef BRIDGE_POP3_FETCH_ADDRESS_H
#define BRIDGE_POP3_FETCH_ADDRESS_H

#include "queue/judge.h"

/* Recipients that one field may name; who comes behind them is replaced by `to`. */
#define FETCH_RECIPIENTS 100

struct fetch_address {
	char *sender; /* "": the null sender */
	struct view
	    return_path; /* the field that says so, within the section: the envelope has it now. Empty: none */
	struct strings recipients; /* at least one */
	char *lost;		   /* why a multidrop message goes to `to`, alone or too; null: it was told */
	uint64_t max_size;	   /* octets that the widest way to a recipient takes */
};

/* Sets A in every case. LATER: whether a recipient is served here cannot be judged now. MAIL is the directory of Maildirs. */
enum outcome fetch_address_read(struct fetch_address *a, const struct config *c, const struct config_fetch *box,
    const struct dir *mail, struct view section, struct error *err);
void fetch_address_release(struct fetch_address *a);
/* Is `to` served here? Else nothing can be fetched: EX_CONFIG with the reason, or LATER. *MAX_SIZE as above. */
enum outcome fetch_address_check(const struct config *c, const struct config_fetch *box, const struct dir *mail,
    uint64_t *max_size, struct error *err);

#endif
