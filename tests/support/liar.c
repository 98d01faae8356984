/*
 * liar CONF NEIGHBOUR PORT STEP...: a caller that proves to be the host of CONF and then says what it should not. It prints a
 * line for each step that hears something. Steps:
 *
 *	hello		sends a hello and takes the answer: from here on there are keys
 *	raw HEX		sends these octets as they are
 *	say HEX		sends a record of these frames (relay/PROTOCOL.md)
 *	flood N HEX	N times the same record; until nobody takes any more for 10 seconds
 *	forge HEX	a record whose tag is wrong
 *	wait MS
 *	hear		reads until the other end closes: "heard N octets"
 */
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "lib/text.h"
#include "lib/wire.h"
#include "relay/relay.h"
#include "relay/session_record.h"

struct liar {
	struct relay relay;
	struct public_keys peer;
	struct session_keys keys;
	struct record_writer writer;
	int fd;
};

static void open_line(struct liar *l, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	to.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	l->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(l->fd, (struct sockaddr *)&to, sizeof to) != 0)
		err(EX_UNAVAILABLE, "cannot connect to %s", port);
}

/* False: nobody takes it. */
static bool send_all(const struct liar *l, struct view bytes)
{
	while (bytes.length > 0) {
		struct pollfd p = {.fd = l->fd, .events = POLLOUT};
		ssize_t count = poll(&p, 1, 10000) == 1 ? send(l->fd, bytes.bytes, bytes.length, MSG_DONTWAIT) : -1;

		if (count < 0)
			return false;
		bytes = view_from(bytes, (size_t)count);
	}
	return true;
}

static void say_hello(struct liar *l)
{
	struct buf hello;
	uint8_t answer[SESSION_ANSWER_HEAD + UINT8_MAX + SESSION_TAG] = {0};
	size_t length = 0;

	buf_init(&hello, 1000);
	if (!session_hello(&l->keys, &l->relay.keys, &l->peer, view_of("\0", 1), &hello))
		errx(EX_SOFTWARE, "no hello");
	send_all(l, view_buf(&hello));
	buf_release(&hello);
	while (length < SESSION_ANSWER_HEAD ||
	       length < SESSION_ANSWER_HEAD + answer[SESSION_ANSWER_HEAD - 1] + (size_t)SESSION_TAG) {
		if (read(l->fd, answer + length, 1) != 1)
			errx(EX_NOPERM, "no answer");
		length++;
	}
	if (!session_answer_good(&l->keys, &l->relay.keys, view_of(answer, length)))
		errx(EX_PROTOCOL, "the answer is false");
	l->writer = (struct record_writer){.key = l->keys.send};
}

static void decode(const char *hex, struct buf *out)
{
	size_t length = 0;
	uint8_t *place = buf_extend(out, strlen(hex) / 2);

	if (sodium_hex2bin(place, strlen(hex) / 2, hex, strlen(hex), NULL, &length, NULL) != 0 ||
	    length * 2 != strlen(hex))
		errx(EX_USAGE, "%s is not hexadecimal", hex);
}

static void send_record(struct liar *l, const char *hex, size_t times, bool false_tag)
{
	struct buf body;
	struct buf record;
	size_t sent = 0;

	buf_init(&body, RECORD_MAX);
	buf_init(&record, 2 * RECORD_MAX);
	decode(hex, &body);
	for (bool taken = true; taken && sent < times; sent++) {
		record_write(&l->writer, view_buf(&body), &record);
		if (false_tag)
			record.bytes[record.length - 1] ^= 1;
		taken = send_all(l, view_buf(&record));
		buf_clear(&record);
	}
	if (times > 1)
		printf("sent %zu records\n", sent);
	buf_release(&body);
	buf_release(&record);
}

static void send_raw(const struct liar *l, const char *hex)
{
	struct buf bytes;

	buf_init(&bytes, RECORD_MAX);
	decode(hex, &bytes);
	send_all(l, view_buf(&bytes));
	buf_release(&bytes);
}

static void hear(const struct liar *l)
{
	uint8_t bytes[65536];
	size_t heard = 0;
	ssize_t count;

	while ((count = read(l->fd, bytes, sizeof bytes)) > 0)
		heard += (size_t)count;
	printf("heard %zu octets\n", heard);
}

/* Gives how many words the step takes. */
static int step(struct liar *l, char **words, int count)
{
	if (strcmp(words[0], "hello") == 0)
		return say_hello(l), 1;
	if (strcmp(words[0], "hear") == 0)
		return hear(l), 1;
	if (count > 1 && strcmp(words[0], "raw") == 0)
		return send_raw(l, words[1]), 2;
	if (count > 1 && strcmp(words[0], "say") == 0)
		return send_record(l, words[1], 1, false), 2;
	if (count > 1 && strcmp(words[0], "forge") == 0)
		return send_record(l, words[1], 1, true), 2;
	if (count > 1 && strcmp(words[0], "wait") == 0)
		return poll(NULL, 0, (int)strtol(words[1], NULL, 10)), 2;
	if (count > 2 && strcmp(words[0], "flood") == 0)
		return send_record(l, words[2], strtoul(words[1], NULL, 10), false), 3;
	errx(EX_USAGE, "%s is no step", words[0]);
}

int main(int argc, char **argv)
{
	struct liar l = {.fd = -1};
	struct error error = ERROR_NONE;
	const struct config_neighbour *config;

	if (argc < 5)
		errx(EX_USAGE, "usage: liar CONF NEIGHBOUR PORT STEP...");
	signal(SIGPIPE, SIG_IGN);
	if (sodium_init() < 0 || relay_open(&l.relay, argv[1], false, &error) != OUTCOME_DONE)
		errx(EX_CONFIG, "%s", error.text);
	config = config_neighbour(&l.relay.config, argv[2]);
	if (config == NULL || key_line_parse(config->key, &l.peer, NULL) != OUTCOME_DONE)
		errx(EX_CONFIG, "no neighbour %s", argv[2]);
	open_line(&l, argv[3]);
	for (int i = 4; i < argc;)
		i += step(&l, argv + i, argc - i);
	session_keys_wipe(&l.keys);
	close(l.fd);
	relay_close(&l.relay);
	return EX_OK;
}
