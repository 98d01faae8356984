/*
 * Every limit of the program, with its reason. A limit that the operator may change has its default here
 * and its name in packetboat.conf(5).
 */
#ifndef LIB_LIMITS_H
#define LIB_LIMITS_H

/* A host name is part of every id, and ids are file names on FAT media: 32 + '.' + 7 + '.' + 20 < 64. */
#define LIMIT_HOST_NAME 32
/* The longest id: host, incarnation in base32, sequence, and the entry suffix "+recipient". */
#define LIMIT_ID 80

/* RFC 5321 4.5.3.1.1: local part 64 octets, 4.5.3.1.2: domain 255, 4.5.3.1.3: path 256 with its brackets. */
#define LIMIT_LOCAL_PART 64
#define LIMIT_DOMAIN	 255
#define LIMIT_ADDRESS	 254
/* A bang path may be longer than a mailbox: several hops and an address. */
#define LIMIT_BANG_PATH 512

/* Recipients of one message; RFC 5321 4.5.3.1.8 asks for at least 100. What has more is handed over as several. With
 * everything that may be said of each, ten thousand stay well below the 32 MB that a program may use. */
#define LIMIT_RECIPIENTS 10000
/* RFC 3461 4.4: an ENVID is at most 100 characters; xtext may triple it. ORCPT likewise holds an address. */
#define LIMIT_ENVID 300
#define LIMIT_ORCPT 600
/* RFC 5321 6.3 suggests at least 100 Received lines; ours are hosts of one network, where 32 is a loop. */
#define LIMIT_HOPS 32
/* Who handed a message in, for the from clause of a Received line: a domain (255), an address literal, and the signs. */
#define LIMIT_CLIENT 320
/* The encoded envelope of one message: two hundred octets a recipient, on average. */
#define LIMIT_ENVELOPE ((size_t)2 << 20)
/* Header section of a message that a program may hold in memory to read or repair it. */
#define LIMIT_HEADER_SECTION ((size_t)1 << 20)
/* A reason for the attempt record or the log: one sentence. */
#define LIMIT_REASON 500

/* One batch: items, and the bytes they may unpack to, against decompression bombs. */
#define LIMIT_BATCH_ITEMS 65536
/* Anything near that is not mail. Counted beyond the first megabyte. */
#define LIMIT_BATCH_RATIO 1000
/* The header of a batch with its extensions. */
#define LIMIT_BATCH_HEADER 65536
/* Ranges that one acknowledgement may carry; the rest waits for the next batch. */
#define LIMIT_ACK_RANGES 64

/* Configuration, key and attempt files are read whole. */
#define LIMIT_SMALL_FILE ((size_t)16 << 20)
/* A whole attempt record, one line a recipient. */
#define LIMIT_ENTRY ((size_t)16 << 20)

/* The unit in which streams are copied. */
#define COPY_CHUNK ((size_t)65536)

/* The longest wait before the next attempt, seconds: four days. Records put off further ahead than twice that are taken
 * to be due, since no clock can have meant it. */
#define LIMIT_RETRY ((uint64_t)4 * 86400)

/* Processes that deliver by SMTP, or by LMTP, at once; each has a directory of its own for what it is delivering. */
#define LIMIT_WORK_SLOTS 64

/* Seconds a command waits for a lock that another process holds. */
#define LOCK_PATIENCE 60

#endif
