/*
 * The way out to one neighbour: what waits in its hop is packed into batches, which stay in spool/out/NAME with
 * their records in the hop's directory batch-INCARNATION-SEQUENCE until they are acknowledged.
 *
 * For a crash at any point of packing: the records move to the batch's directory first, then the file is renamed into
 * out/NAME, then the state is saved. A directory without a file is moved back; a file that the state does not know is
 * adopted, since a transport may have seen it.
 */
#ifndef RELAY_OUTBOX_H
#define RELAY_OUTBOX_H

#include "relay/relay.h"

/* Puts right what a crash, a restore, a changed key or the operator left: at the beginning of each run. */
enum outcome outbox_recover(struct relay *r, struct neighbour *n, struct error *err);
/* Acts on what rides in the header of a verified batch: acknowledgement, voids, events. */
enum outcome outbox_take_header(
    struct relay *r, struct neighbour *n, const struct batch_header *h, struct error *err);
/* Warns about and returns what is in batches and has waited too long. */
enum outcome outbox_expire(struct relay *r, struct neighbour *n, struct error *err);
/* Takes a batch apart: its records wait in the hop again, its number is void. */
enum outcome outbox_dissolve(
    struct relay *r, struct neighbour *n, struct peer_batch *batch, const char *why, struct error *err);
/* The neighbour refuses BATCH: it is taken apart, to be packed anew, unless its file is what was made here. */
enum outcome outbox_check(struct relay *r, struct neighbour *n, struct peer_batch *batch, struct error *err);
/* Packs what is ready. */
enum outcome outbox_pack(struct relay *r, struct neighbour *n, struct error *err);
/* What no other batch took along: H gets acknowledgement, voided numbers and events; *FRESH: there is something to say. */
enum outcome outbox_news(
    struct relay *r, struct neighbour *n, struct batch_header *h, bool *fresh, struct error *err);
/*
 * Writes a batch without items into a new file TMP_NAME in spool/tmp when there is an acknowledgement or an event that
 * no other batch took along; *FD is -1 when there is nothing to say, or on failure: then nothing is left of it.
 */
enum outcome outbox_bare(
    struct relay *r, struct neighbour *n, char tmp_name_out[static 40], int *fd, struct error *err);
/* The bare batch was handed over: what it carried need not be said again. */
void outbox_bare_sent(struct neighbour *n);

#endif
