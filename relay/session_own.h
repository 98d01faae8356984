/*
 * What the parts of the machine of a call share. For relay/session*.c only: session.c leads it from hello to end,
 * session_frames.c reads what the other end says, session_flow.c decides what is sent next and how much.
 */
#ifndef RELAY_SESSION_OWN_H
#define RELAY_SESSION_OWN_H

#include "relay/session_record.h"

enum session_frame {
	FRAME_DATA = 1,	    /* sequence; the rest of the record are octets of that batch */
	FRAME_DATA_ASK = 2, /* the same, to be confirmed by GOT */
	FRAME_BEGIN = 3,    /* sequence, class (octet), size, offset */
	FRAME_HAVE = 4,	    /* sequence, offset, hash (8 octets) */
	FRAME_GOT = 5,	    /* confirms the oldest DATA_ASK that is not confirmed yet */
	FRAME_NEWS = 6,	    /* counted: extensions of a batch header */
	FRAME_STOP = 7,	    /* sequence, reason (octet) */
	FRAME_IDLE = 8,	    /* count */
	FRAME_TURN = 9,
	FRAME_BYE = 10,	  /* reason (octet) */
	FRAME_READY = 11, /* nothing: for a first record that has nothing else to say */
};

enum session_phase {
	PHASE_HELLO,  /* the answerer waits for a hello */
	PHASE_HINTED, /* and has one, but does not know whose */
	PHASE_ANSWER, /* the caller waits for the answer */
	PHASE_PROOF,  /* the answerer waits for a record, which a replay cannot make */
	PHASE_TALK,
	PHASE_ENDING, /* CLOSED is to be told */
	PHASE_ENDED,
};

/* A batch of ours. */
struct outgoing {
	uint64_t sequence;
	uint64_t size;
	uint64_t offset; /* octets before it are given out, or are there */
	uint64_t end_at; /* when all are given out: s->data_sent then */
	uint8_t class;
	bool tried; /* the first word of the other end is to be waited for */
	bool held;  /* it has said what it keeps */
	bool begun; /* BEGIN was said */
	bool sent;
	bool stopped; /* not in this call, however often it is offered */
};

/* A batch of theirs. */
struct incoming {
	uint64_t sequence;
	uint64_t size;
	uint64_t offset;   /* octets before it are handed out */
	uint64_t verified; /* and these are proved to come from them */
	bool begun;	   /* else only kept of an earlier call */
	bool whole;	   /* handed out; not settled yet */
};

/* Octets whose confirmation was asked for. */
struct marker {
	uint64_t octets; /* data_sent behind them */
	uint64_t at;
	uint64_t confirmed; /* what had arrived then */
};
#define SESSION_MARKERS 64

#define SESSION_CLASSES 3
/* Octets of frames that may wait for the next record, news apart: more than an honest other end can bring about. */
#define SESSION_OWED ((size_t)32768)

struct session_own {
	struct session_options options;
	struct public_keys peer;
	struct session_keys keys;
	enum session_phase phase;
	uint64_t spoke_at; /* when our first message went out */
	bool open;
	uint64_t turn; /* 0: full duplex */

	/* What comes in. */
	struct buf input;
	struct record_reader reader;
	struct buf body; /* of the record being read */
	bool whole;	 /* it is proved; frames from `at` on are to be read */
	size_t at;
	bool streaming;	    /* its octets are DATA and are handed out as they come */
	bool consumed;	    /* the body was handed out */
	bool asked;	    /* GOT is owed when it is proved */
	size_t gots;	    /* GOT that stand before the DATA */
	uint64_t streamed;  /* sequence */
	uint64_t ready;	    /* sequence of a batch that has just become whole, 0: none */
	uint64_t taken;	    /* records that count: IDLE tells */
	bool counts;	    /* the record under way does */
	bool heard;	    /* their first record */
	uint64_t they_idle; /* count of their last IDLE; they have said nothing since */
	bool they_are_idle;
	struct incoming *in;
	size_t in_count;
	size_t in_capacity;

	/* What goes out. */
	struct record_writer writer;
	struct buf pending; /* frames for the next record */
	bool pending_counts;
	bool pending_news;
	bool pending_needed;
	bool gone;	  /* session_go was called */
	uint64_t allowed; /* octets that may still go, and of these only of urgent batches */
	uint64_t reserve;
	uint64_t said;	 /* records that count */
	uint64_t needed; /* up to the last of them with more than news: taken before the call ends */
	bool idle_told;
	uint64_t idle_taken;
	bool finishing;
	enum session_end finish;
	struct outgoing *out;
	size_t out_count;
	size_t out_capacity;
	uint64_t reading;  /* sequence of READ, 0: none is open */
	uint64_t sent_now; /* sequence of a batch whose last octets were just given out, 0: none */
	uint64_t checking; /* sequence of CHECK */
	uint64_t checking_offset;

	/* Flow. */
	int credit[SESSION_CLASSES];
	bool turn_ours;
	uint64_t turn_since;
	uint64_t window;
	uint64_t confirmed; /* data_sent up to here has arrived */
	uint64_t asked_at;  /* data_sent when GOT was asked for last */
	bool held_back;	    /* the window kept something back since the last GOT */
	struct marker markers[SESSION_MARKERS];
	size_t marker_count;

	enum session_end end;
	char text[300];
};

/* ---- session.c ---- */
void session_end_with(struct session *s, enum session_end end, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct incoming *session_incoming(struct session_own *o, uint64_t sequence);
struct incoming *session_incoming_add(struct session_own *o, uint64_t sequence);
struct outgoing *session_outgoing(struct session_own *o, uint64_t sequence);
/* A frame was put into `pending`; COUNTS: it makes the record one that counts, which is to be taken before the call ends. */
void session_say(struct session_own *o, bool counts);

/* ---- session_frames.c ---- */
/* The record is proved: reads its next frame. True: EVENT is set. */
bool session_frame_next(struct session *s, struct session_event *event, uint64_t now);
/* Octets of a record that is not proved yet: hands out what may be handed out. True: EVENT is set. */
bool session_frame_stream(struct session *s, struct session_event *event);
/* The record turned out to be forged. True: EVENT is set. */
bool session_frame_forged(struct session *s, struct session_event *event);
/* The record that was streamed is proved. True: EVENT is set. */
bool session_frame_streamed(struct session *s, struct session_event *event, uint64_t now);

/* ---- session_flow.c ---- */
void session_flow_begin(struct session_own *o, uint64_t now);
void session_flow_got(struct session *s, uint64_t now);
/* What is to be said: READ as EVENT (true), or records put into the output. */
bool session_flow_next(struct session *s, struct session_event *event, uint64_t now);

#endif
