#include "spool/batch_internal.h"

#include <errno.h>
#include <sys/stat.h>

#include "lib/alloc.h"
#include "lib/text.h"

void batch_header_release(struct batch_header *h)
{
	for (size_t i = 0; i < h->event_count; i++)
		buf_release(&h->events[i].bitmap);
	free(h->events);
	h->events = NULL;
	h->event_count = 0;
	h->event_capacity = 0;
	ranges_release(&h->ack.received);
	ranges_release(&h->voided);
}

struct batch_event *batch_header_add_event(struct batch_header *h)
{
	struct batch_event *event;

	h->events = mem_grow(h->events, h->event_count, &h->event_capacity, sizeof h->events[0]);
	event = &h->events[h->event_count++];
	*event = (struct batch_event){.sequence = 0};
	buf_init(&event->bitmap, BATCH_BITMAP_MAX);
	return event;
}

/* ---- writing ---------------------------------------------------------------------------------------------
 */

static void write_extension(struct buf *out, enum batch_extension type, struct buf *value)
{
	wire_varint(out, type);
	wire_view(out, view_buf(value));
	if (value->failed)
		out->failed = true;
	buf_clear(value);
}

static void write_ack(const struct batch_ack *ack, struct buf *out)
{
	wire_u32(out, ack->incarnation);
	ranges_write(&ack->received, LIMIT_ACK_RANGES, out);
	buf_append(out, ack->check, sizeof ack->check);
}

static void write_events(const struct batch_header *h, struct buf *out)
{
	wire_varint(out, h->event_serial);
	wire_u32(out, h->events_incarnation);
	for (size_t i = 0; i < h->event_count; i++) {
		const struct batch_event *event = &h->events[i];
		struct view bitmap = view_buf(&event->bitmap);

		while (bitmap.length > 0 && bitmap.bytes[bitmap.length - 1] == 0)
			bitmap.length--;
		if (bitmap.length == 0)
			continue; /* says nothing of anybody */
		wire_varint(out, event->sequence);
		buf_byte(out, (uint8_t)event->kind);
		if (event->kind == EVENT_FAILED)
			buf_append(out, event->status, sizeof event->status);
		wire_view(out, bitmap);
	}
}

void batch_header_print_extensions(const struct batch_header *h, struct buf *out)
{
	struct buf value;

	buf_init(&value, LIMIT_BATCH_HEADER);
	if (h->has_ack) {
		write_ack(&h->ack, &value);
		write_extension(out, BATCH_EXTENSION_ACK, &value);
	}
	if (h->voided.count > 0) {
		/* What does not fit is said again by the next batch, until it is acknowledged. */
		ranges_write(&h->voided, LIMIT_ACK_RANGES, &value);
		write_extension(out, BATCH_EXTENSION_VOIDED, &value);
	}
	if (h->event_serial != 0) {
		write_events(h, &value);
		write_extension(out, BATCH_EXTENSION_EVENTS, &value);
	}
	if (h->event_seen != 0) {
		wire_varint(&value, h->event_seen);
		write_extension(out, BATCH_EXTENSION_EVENT_SEEN, &value);
	}
	buf_release(&value);
}

/* A batch without a body has nothing to compress. */
static bool has_dictionary(const struct batch_header *h)
{
	return h->dictionary != 0 && h->sequence != 0;
}

static void write_rest(const struct batch_header *h, struct buf *out)
{
	wire_text(out, h->from);
	wire_text(out, h->to);
	wire_u32(out, h->incarnation);
	wire_varint(out, h->sequence);
	if (has_dictionary(h))
		wire_varint(out, h->dictionary);
	batch_header_print_extensions(h, out);
}

static bool event_good(const struct batch_event *event)
{
	return event->sequence != 0 && event->kind >= EVENT_DELIVERED && event->kind <= EVENT_REMOVED;
}

/* Null, or what is wrong with H. */
static const char *header_fault(const struct batch_header *h)
{
	if (!host_name_valid(h->from) || !host_name_valid(h->to))
		return "a host name is not valid";
	if (h->class > BATCH_CLASS_MAX)
		return "there is no such class";
	if (h->codec > CODEC_BROTLI || h->dictionary > CODEC_DICTIONARY)
		return "there is no such codec or dictionary";
	if (h->codec != CODEC_DEFLATE && h->dictionary != 0)
		return "its codec has no dictionary";
	/* The acknowledgement's check belongs to its highest sequence: it cannot be cut here. */
	if (h->has_ack && h->ack.received.count > LIMIT_ACK_RANGES)
		return "the acknowledgement has too many ranges";
	if ((h->has_ack && ranges_contain(&h->ack.received, 0)) || ranges_contain(&h->voided, 0))
		return "sequence 0 is neither acknowledged nor void";
	if (h->event_serial == 0 && h->event_count > 0)
		return "the events have no serial number";
	for (size_t i = 0; i < h->event_count; i++)
		if (!event_good(&h->events[i]))
			return "an event is of no batch or of no kind";
	return NULL;
}

enum outcome batch_header_write(const struct batch_header *h, struct buf *out, struct error *err)
{
	const char *fault = header_fault(h);
	uint8_t flags = (uint8_t)(h->class << BATCH_FLAG_CLASS_SHIFT);
	struct buf rest;
	bool failed;

	if (fault != NULL)
		return error_set(err, EX_SOFTWARE, "cannot write the header of a batch for %s: %s", h->to, fault);
	if (h->sealed && h->sequence != 0)
		flags |= BATCH_FLAG_SEALED; /* a batch without a body has nothing to seal */
	if (has_dictionary(h))
		flags |= BATCH_FLAG_DICTIONARY;
	if (h->sequence != 0)
		flags |= (uint8_t)(h->codec << BATCH_FLAG_CODEC_SHIFT);
	buf_init(&rest, LIMIT_BATCH_HEADER);
	write_rest(h, &rest);
	buf_text(out, BATCH_MAGIC);
	buf_byte(out, BATCH_VERSION);
	buf_byte(out, flags);
	wire_view(out, view_buf(&rest));
	failed = rest.failed || out->failed;
	buf_release(&rest);
	if (failed)
		return error_set(err, EX_DATAERR, "the header of a batch for %s is larger than the limit of %d bytes",
		    h->to, LIMIT_BATCH_HEADER);
	return OUTCOME_DONE;
}

/* ---- reading ---------------------------------------------------------------------------------------------
 */

enum outcome batch_file_size(int fd, const char *name, uint64_t *size, struct error *err)
{
	struct stat st;

	*size = 0;
	if (fstat(fd, &st) != 0)
		return error_errno(err, errno, "cannot ask for the size of %s", name);
	*size = st.st_size > 0 ? (uint64_t)st.st_size : 0;
	return OUTCOME_DONE;
}

static enum outcome cut_short(const char *name, struct error *err)
{
	return error_set(err, EX_DATAERR, "%s is cut short", name);
}

static enum outcome malformed(const char *name, const char *what, struct error *err)
{
	return error_set(err, EX_DATAERR, "%s is not a well-formed batch: %s", name, what);
}

/* Magic and version; leaves R behind them. */
static enum outcome read_magic(struct reader *r, const char *name, struct error *err)
{
	struct view magic = read_bytes(r, sizeof BATCH_MAGIC - 1);
	uint8_t version = read_byte(r);

	if (r->failed || !view_is(magic, BATCH_MAGIC))
		return error_set(err, EX_DATAERR, "%s is not a batch file", name);
	if (version != BATCH_VERSION)
		return error_set(err, EX_PROTOCOL,
		    "%s is a batch of format version %u, and this program knows only version %u", name, version,
		    BATCH_VERSION);
	return OUTCOME_DONE;
}

enum outcome batch_header_load(int fd, const char *name, uint64_t size, struct buf *out, struct error *err)
{
	uint8_t lead[BATCH_HEADER_LEAD];
	size_t lead_size = size < sizeof lead ? (size_t)size : sizeof lead;
	enum outcome outcome = file_read_at(fd, lead, lead_size, 0, name, err);
	struct reader r;
	uint64_t rest;
	uint8_t *place;

	if (outcome != OUTCOME_DONE)
		return outcome;
	reader_init(&r, view_of(lead, lead_size));
	outcome = read_magic(&r, name, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	(void)read_byte(&r); /* flags */
	rest = read_varint(&r);
	if (r.failed)
		return size <= sizeof lead ? cut_short(name, err) : malformed(name, "its header has no length", err);
	if (rest > LIMIT_BATCH_HEADER)
		return error_set(
		    err, EX_DATAERR, "%s has a header larger than the limit of %d bytes", name, LIMIT_BATCH_HEADER);
	rest += lead_size - r.rest.length;
	if (size < rest + BATCH_SIGNATURE)
		return cut_short(name, err);
	place = buf_extend(out, (size_t)rest);
	if (place == NULL)
		return malformed(name, "its header is too large", err);
	return file_read_at(fd, place, (size_t)rest, 0, name, err);
}

static bool read_host(struct reader *r, char host[static LIMIT_HOST_NAME + 1])
{
	struct view v = read_view(r, LIMIT_HOST_NAME);

	if (v.length > 0)
		memcpy(host, v.bytes, v.length);
	host[v.length] = '\0';
	return strlen(host) == v.length && host_name_valid(host);
}

enum outcome batch_header_identify(
    struct batch_header *h, struct view bytes, const char *name, struct reader *rest, struct error *err)
{
	enum outcome outcome;
	bool good;

	*h = (struct batch_header){.sequence = 0};
	reader_init(rest, bytes);
	outcome = read_magic(rest, name, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	(void)read_byte(rest); /* flags: batch_header_complete */
	if (read_varint(rest) != rest->rest.length)
		return malformed(name, "its header has another length than it says", err);
	good = read_host(rest, h->from);
	good = read_host(rest, h->to) && good;
	h->incarnation = read_u32(rest);
	h->sequence = read_varint(rest);
	if (rest->failed)
		return malformed(name, "its header ends too early", err);
	if (!good)
		return malformed(name, "it does not say from which host and for which", err);
	return OUTCOME_DONE;
}

static bool read_sequences(struct ranges *set, struct reader *r)
{
	ranges_read(set, LIMIT_ACK_RANGES, r);
	return !r->failed && !ranges_contain(set, 0);
}

static bool read_ack(struct batch_header *h, struct reader *r)
{
	struct view check;
	bool good;

	h->has_ack = true;
	h->ack.incarnation = read_u32(r);
	good = read_sequences(&h->ack.received, r);
	check = read_bytes(r, sizeof h->ack.check);
	if (check.length == sizeof h->ack.check)
		memcpy(h->ack.check, check.bytes, check.length);
	return good;
}

static bool read_voided(struct batch_header *h, struct reader *r)
{
	return read_sequences(&h->voided, r) && h->voided.count > 0;
}

static bool read_event(struct batch_event *event, struct reader *r)
{
	struct view bitmap;

	event->sequence = read_varint(r);
	event->kind = read_byte(r);
	if (event->kind == EVENT_FAILED) {
		struct view status = read_bytes(r, sizeof event->status);

		if (status.length == sizeof event->status)
			memcpy(event->status, status.bytes, status.length);
	}
	bitmap = read_view(r, BATCH_BITMAP_MAX);
	buf_view(&event->bitmap, bitmap);
	return event_good(event) && bitmap.length > 0 && bitmap.bytes[bitmap.length - 1] != 0;
}

static bool read_events(struct batch_header *h, struct reader *r)
{
	h->event_serial = read_varint(r);
	h->events_incarnation = read_u32(r);
	while (!reader_at_end(r))
		if (!read_event(batch_header_add_event(h), r))
			return false;
	return h->event_serial != 0;
}

static bool read_event_seen(struct batch_header *h, struct reader *r)
{
	h->event_seen = read_varint(r);
	return h->event_seen != 0;
}

static enum outcome read_extension(
    struct batch_header *h, uint64_t type, struct view value, const char *name, struct error *err)
{
	struct reader r;
	bool good;

	reader_init(&r, value);
	switch (type) {
	case BATCH_EXTENSION_ACK:
		good = read_ack(h, &r);
		break;
	case BATCH_EXTENSION_VOIDED:
		good = read_voided(h, &r);
		break;
	case BATCH_EXTENSION_EVENTS:
		good = read_events(h, &r);
		break;
	case BATCH_EXTENSION_EVENT_SEEN:
		good = read_event_seen(h, &r);
		break;
	default:
		if (type % 2 == 0)
			return OUTCOME_DONE;
		return error_set(err, EX_PROTOCOL,
		    "%s uses extension %llu of the batch format, which this program does not know", name,
		    (unsigned long long)type);
	}
	if (!good || r.failed || r.rest.length > 0)
		return error_set(err, EX_DATAERR, "%s is not a well-formed batch: extension %llu of its header", name,
		    (unsigned long long)type);
	return OUTCOME_DONE;
}

/* Extensions stand in ascending order of their types, each once. */
static enum outcome read_extensions(struct batch_header *h, const char *name, struct reader *r, struct error *err)
{
	uint64_t last = 0;

	while (!reader_at_end(r)) {
		uint64_t type = read_varint(r);
		struct view value = read_view(r, LIMIT_BATCH_HEADER);
		enum outcome outcome;

		if (r->failed || type <= last)
			return malformed(name, "the extensions of its header", err);
		last = type;
		outcome = read_extension(h, type, value, name, err);
		if (outcome != OUTCOME_DONE)
			return outcome;
	}
	return OUTCOME_DONE;
}

enum outcome batch_header_parse_extensions(
    struct batch_header *h, struct view bytes, const char *name, struct error *err)
{
	struct reader r;

	reader_init(&r, bytes);
	return read_extensions(h, name, &r, err);
}

static enum outcome read_flags(struct batch_header *h, uint8_t flags, const char *name, struct error *err)
{
	if ((flags & BATCH_FLAG_UNKNOWN) != 0)
		return error_set(err, EX_PROTOCOL, "%s has flags that this program does not know", name);
	h->codec = (enum codec)((flags >> BATCH_FLAG_CODEC_SHIFT) & 3);
	if (h->codec > CODEC_BROTLI)
		return error_set(err, EX_PROTOCOL, "%s is compressed in a way that this program does not know", name);
	h->sealed = (flags & BATCH_FLAG_SEALED) != 0;
	h->class = (flags >> BATCH_FLAG_CLASS_SHIFT) & 3;
	if (h->class > BATCH_CLASS_MAX)
		return malformed(name, "there is no such class", err);
	if ((h->sealed || h->codec != CODEC_DEFLATE) && h->sequence == 0)
		return malformed(name, "it is sealed or compressed and has no body", err);
	return OUTCOME_DONE;
}

enum outcome batch_header_complete(
    struct batch_header *h, struct view bytes, const char *name, struct reader *rest, struct error *err)
{
	uint8_t flags = bytes.bytes[BATCH_FLAGS_AT];
	enum outcome outcome = read_flags(h, flags, name, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	if ((flags & BATCH_FLAG_DICTIONARY) != 0) {
		uint64_t dictionary = read_varint(rest);

		if (rest->failed || dictionary == 0)
			return malformed(name, "the dictionary's number", err);
		if (dictionary > CODEC_DICTIONARY)
			return error_set(err, EX_PROTOCOL,
			    "%s is compressed with dictionary %llu, which this program does not have", name,
			    (unsigned long long)dictionary);
		if (h->sequence == 0)
			return malformed(name, "it has a dictionary and no body", err);
		if (h->codec != CODEC_DEFLATE)
			return malformed(name, "it has a dictionary that is not of its codec", err);
		h->dictionary = (uint8_t)dictionary;
	}
	return read_extensions(h, name, rest, err);
}

enum outcome batch_peek(int fd, const char *name, struct batch_header *header, struct error *err)
{
	struct buf bytes;
	struct reader rest;
	uint64_t size;
	enum outcome outcome = batch_file_size(fd, name, &size, err);

	*header = (struct batch_header){.sequence = 0};
	if (outcome != OUTCOME_DONE)
		return outcome;
	buf_init(&bytes, BATCH_HEADER_MAX);
	outcome = batch_header_load(fd, name, size, &bytes, err);
	if (outcome == OUTCOME_DONE)
		outcome = batch_header_identify(header, view_buf(&bytes), name, &rest, err);
	if (outcome == OUTCOME_DONE)
		outcome = batch_header_complete(header, view_buf(&bytes), name, &rest, err);
	buf_release(&bytes);
	if (outcome != OUTCOME_DONE)
		batch_header_release(header);
	return outcome;
}
