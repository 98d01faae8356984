/*
 * One run of the relay: what it works with. `relay_open` loads the configuration and the keys and opens the spool;
 * neighbours are opened, and their locks taken, when they are first needed, and kept to the end of the run.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "queue/config.h"
#include "queue/process.h"
#include "queue/seen.h"
#include "spool/notes.h"

/* A neighbour at work: its configuration, keys, state and directories, under its lock. */
struct neighbour {
	const struct config_neighbour *config;
	struct public_keys keys; /* known before it is opened; host "": the key line is none */
	struct peer peer;
	struct dir in;	/* spool/in/NAME: taken apart here */
	struct dir out; /* spool/out/NAME: INCARNATION.SEQUENCE.pb */
	struct dir hop; /* spool/queue/neighbour-NAME */
	struct lock lock;
	char hop_name[LIMIT_HOST_NAME + 16];
	enum neighbour_state { NEIGHBOUR_UNOPENED, NEIGHBOUR_READY, NEIGHBOUR_BUSY, NEIGHBOUR_BROKEN } state;
	struct error *broken; /* owned: why it cannot be worked on; null unless NEIGHBOUR_BROKEN */
	bool heard;	      /* a batch of its came in during this run */
	bool unsure;  /* a batch could not be committed whole: nothing is packed before the next run has looked */
	bool changed; /* peer is to be saved */
	uint64_t bare_serial; /* newest event in the bare batch made last */
};

struct relay {
	struct config config;
	struct queue queue;
	struct host_keys keys;
	struct age age;
	struct dir in;
	struct dir out;
	struct neighbour *neighbours; /* parallel to config.neighbours */
	struct notes notes;	      /* for neighbours whose messages have ended */
	struct settle_hooks hooks;
	uint64_t reports_left;
	struct error trouble; /* the first thing that stays for later and is news to the operator */
};

/* Says SENTENCE on standard error; a config_complain. */
void relay_complain(void *context, const char *sentence);
/* Says ERR on standard error, unless its text is empty because it is said already; the exit code. */
int relay_leave(const struct error *err);
/* Mistakes in the configuration are said on standard error at once; ERR's text is empty then. */
enum outcome relay_open(struct relay *r, const char *config_path, bool verbose, struct error *err);
void relay_close(struct relay *r);

/* The neighbour NAME, opened and locked. *N is null when there is none of that name, or somebody else works on it, or it is
 * broken (which is logged): that is no failure, but ERR, which may be null, then says why, for who can do nothing without it.
 * A lock that cannot be had is a failure, and tried again by whoever asks next. */
enum outcome relay_neighbour(struct relay *r, const char *name, struct neighbour **n, struct error *err);
/* Saves a neighbour's state if it changed. */
enum outcome neighbour_save(struct relay *r, struct neighbour *n, struct error *err);
enum renewal {
	RENEW_BATCHES, /* the numbers of batches are in doubt */
	RENEW_ALL,     /* the ids of messages as well: our state is an old copy */
};
/* Begins a new incarnation: every neighbour's batches are packed again. A neighbour whose state cannot be loaded anew is
 * broken from here on, and the others go on; the first error is returned. */
enum outcome relay_renew(struct relay *r, enum renewal what, const char *why, struct error *err);

/* Says ERR to the log, and remembers it for the exit code if nothing else was before it. Work goes on with the next. */
void relay_trouble(struct relay *r, const char *about, const struct error *err);

/* A batch of ours left for N over TO, a directory or an address. */
void relay_log_sent(struct relay *r, const struct neighbour *n, const struct peer_batch *b, const char *to);
/* EVENT befell a batch of ours for NEIGHBOUR, because of REASON. */
void relay_log_batch(
    struct relay *r, const struct peer_batch *b, const char *event, const char *neighbour, const char *reason);

/* Finds the keys of a neighbour; for batch_reader_open. Who is asked about has proved nothing: nothing is opened or locked. */
batch_lookup relay_lookup;

/* "INCARNATION.SEQUENCE.pb" */
#define BATCH_FILE 48
void batch_file_name(uint32_t incarnation, uint64_t sequence, char out[static BATCH_FILE]);
bool batch_file_parse(const char *name, uint32_t *incarnation, uint64_t *sequence);
/* "batch-INCARNATION-SEQUENCE", the directory of its records within the hop. */
void batch_part_name(uint32_t incarnation, uint64_t sequence, char out[static BATCH_FILE]);
bool batch_part_parse(const char *name, uint32_t *incarnation, uint64_t *sequence);

#endif
