#include "queue/envelope.h"

#include "lib/alloc.h"
#include "lib/text.h"

/*
 * The encoding. First a byte of flags, whose commonest value costs nothing more:
 *
 *	bit 0     origin host and incarnation follow (else: as in the item before)
 *	bits 1-2  class
 *	bits 3-4  body type
 *	bit 5     SMTPUTF8
 *	bit 6     options follow the hops
 *	bit 7     one recipient with index 0 (else: a count, and an index step before each address)
 */
enum {
	FLAG_ORIGIN = 0x01,
	FLAG_CLASS = 1,
	FLAG_BODY = 3,
	FLAG_UTF8 = 0x20,
	FLAG_OPTIONS = 0x40,
	FLAG_SINGLE = 0x80,
};

/* Options, each a number, a length and a value. An odd number that is not known spoils the envelope; an even one is
 * skipped. 0 ends them. */
enum option {
	OPTION_END = 0,
	OPTION_RETURN = 1,
	OPTION_ENVID = 3,
	OPTION_LIFETIME = 5,
	OPTION_NOTIFY = 7,
	OPTION_ORCPT = 9,
	OPTION_SOURCE = 2,
	OPTION_ORDINAL = 4,
	OPTION_CLIENT = 6,
};

void envelope_init(struct envelope *e)
{
	*e = (struct envelope){.class = CLASS_NORMAL};
}

void envelope_release(struct envelope *e)
{
	for (size_t i = 0; i < e->recipient_count; i++) {
		free(e->recipients[i].address);
		free(e->recipients[i].orcpt);
	}
	for (size_t i = 0; i < e->hop_count; i++) {
		free(e->hops[i].host);
		free(e->hops[i].client);
	}
	free(e->recipients);
	free(e->hops);
	free(e->envid);
	free(e->sender);
	free(e->neighbour);
	envelope_init(e);
}

struct recipient *envelope_add_recipient(struct envelope *e, const char *address)
{
	struct recipient *r;

	e->recipients = mem_grow(e->recipients, e->recipient_count, &e->recipient_capacity, sizeof *r);
	r = &e->recipients[e->recipient_count];
	*r = (struct recipient){
	    .index = e->recipient_count == 0 ? 0 : r[-1].index + 1, .address = mem_string(address)};
	e->recipient_count++;
	return r;
}

const struct recipient *envelope_recipient(const struct envelope *e, uint32_t index)
{
	size_t low = 0;
	size_t high = e->recipient_count;

	/* Indices ascend. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (e->recipients[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low < e->recipient_count && e->recipients[low].index == index ? &e->recipients[low] : NULL;
}

void envelope_add_hop(struct envelope *e, const char *host, int64_t time, enum hop_protocol protocol)
{
	e->hops = mem_grow(e->hops, e->hop_count, &e->hop_capacity, sizeof e->hops[0]);
	e->hops[e->hop_count++] = (struct hop){mem_string(host), time, (uint8_t)protocol, NULL};
}

void envelope_hop_client(struct envelope *e, const char *client)
{
	struct hop *hop = e->hop_count == 0 ? NULL : &e->hops[e->hop_count - 1];

	if (hop == NULL || client == NULL || client[0] == '\0' || strlen(client) > LIMIT_CLIENT ||
	    strpbrk(client, "\r\n") != NULL)
		return;
	free(hop->client);
	hop->client = mem_string(client);
}

/* ---- writing --------------------------------------------------------------------------------------------- */

static void write_option(struct buf *out, enum option option, struct view value)
{
	wire_varint(out, option);
	wire_view(out, value);
}

static void write_option_number(struct buf *out, enum option option, uint64_t number)
{
	struct buf value;

	buf_init(&value, VARINT_MAX);
	wire_varint(&value, number);
	write_option(out, option, view_buf(&value));
	buf_release(&value);
}

/* An option that belongs to recipient or hop number PLACE. */
static void write_option_at(struct buf *out, enum option option, size_t place, struct view value)
{
	struct buf both;

	buf_init(&both, value.length + VARINT_MAX);
	wire_varint(&both, place);
	buf_view(&both, value);
	write_option(out, option, view_buf(&both));
	buf_release(&both);
}

static void write_source(const struct envelope *e, struct buf *out)
{
	struct buf value;

	if (e->neighbour == NULL)
		return;
	buf_init(&value, 256);
	wire_text(&value, e->neighbour);
	wire_u32(&value, e->batch_incarnation);
	wire_varint(&value, e->batch_sequence);
	write_option(out, OPTION_SOURCE, view_buf(&value));
	buf_clear(&value);
	buf_release(&value);
	for (size_t i = 0; i < e->recipient_count; i++) {
		buf_init(&value, VARINT_MAX);
		wire_varint(&value, e->recipients[i].ordinal);
		write_option_at(out, OPTION_ORDINAL, i, view_buf(&value));
		buf_release(&value);
	}
}

static void write_options(const struct envelope *e, enum envelope_form form, struct buf *out)
{
	if (e->ret != RETURN_UNSET)
		write_option_number(out, OPTION_RETURN, e->ret);
	if (e->envid != NULL)
		write_option(out, OPTION_ENVID, view_text(e->envid));
	if (e->lifetime != 0)
		write_option_number(out, OPTION_LIFETIME, e->lifetime);
	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct recipient *r = &e->recipients[i];

		if (r->notify != 0)
			write_option_at(out, OPTION_NOTIFY, i, view_of(&r->notify, 1));
		if (r->orcpt != NULL)
			write_option_at(out, OPTION_ORCPT, i, view_text(r->orcpt));
	}
	for (size_t i = 0; i < e->hop_count; i++)
		if (e->hops[i].client != NULL)
			write_option_at(out, OPTION_CLIENT, i, view_text(e->hops[i].client));
	if (form == ENVELOPE_ON_DISK)
		write_source(e, out);
}

static void write_recipients(const struct envelope *e, bool single, struct buf *out)
{
	uint32_t next = 0;

	if (single) {
		wire_text(out, e->recipients[0].address);
		return;
	}
	wire_varint(out, e->recipient_count);
	for (size_t i = 0; i < e->recipient_count; i++) {
		wire_varint(out, e->recipients[i].index - next);
		wire_text(out, e->recipients[i].address);
		next = e->recipients[i].index + 1;
	}
}

static void write_hops(const struct envelope *e, struct envelope_context *context, struct buf *out)
{
	int64_t time = context->time;

	wire_varint(out, e->hop_count);
	for (size_t i = 0; i < e->hop_count; i++) {
		/* The first hop is nearly always the origin, which is named already. */
		bool origin = i == 0 && strcmp(e->hops[0].host, e->id.host) == 0;

		wire_text(out, origin ? "" : e->hops[i].host);
		wire_signed(out, (int64_t)((uint64_t)e->hops[i].time - (uint64_t)time));
		buf_byte(out, e->hops[i].protocol);
		time = e->hops[i].time;
	}
}

void envelope_write(
    const struct envelope *e, enum envelope_form form, struct envelope_context *context, struct buf *out)
{
	bool origin = strcmp(e->id.host, context->id.host) != 0 || e->id.incarnation != context->id.incarnation;
	bool single = e->recipient_count == 1 && e->recipients[0].index == 0;
	struct buf options;

	buf_init(&options, LIMIT_ENVELOPE);
	write_options(e, form, &options);
	buf_byte(out, (uint8_t)((origin ? FLAG_ORIGIN : 0) | (unsigned)e->class << FLAG_CLASS |
				(unsigned)e->body << FLAG_BODY | (e->smtputf8 ? FLAG_UTF8 : 0) |
				(options.length > 0 ? FLAG_OPTIONS : 0) | (single ? FLAG_SINGLE : 0)));
	if (origin) {
		wire_text(out, e->id.host);
		wire_u32(out, e->id.incarnation);
	}
	wire_signed(out, (int64_t)(e->id.sequence - (origin ? 0 : context->id.sequence)));
	wire_text(out, e->sender == NULL ? "" : e->sender);
	write_recipients(e, single, out);
	write_hops(e, context, out);
	if (options.length > 0) {
		buf_view(out, view_buf(&options));
		wire_varint(out, OPTION_END);
	}
	if (options.failed)
		out->failed = true;
	buf_release(&options);
	context->id = e->id;
	context->time = e->hop_count > 0 ? e->hops[0].time : context->time;
}

/* ---- reading --------------------------------------------------------------------------------------------- */

/* A counted string that may stand in a header or a log line: no NUL, CR or LF. */
static char *read_line_text(struct reader *r, size_t maximum)
{
	char *text = read_text(r, maximum);

	if (text != NULL && strpbrk(text, "\r\n") != NULL) {
		free(text);
		r->failed = true;
		return NULL;
	}
	return text;
}

static char *view_line_text(struct view v, size_t maximum, struct reader *r)
{
	if (v.length > maximum ||
	    (v.length > 0 && (memchr(v.bytes, '\0', v.length) != NULL || memchr(v.bytes, '\r', v.length) != NULL ||
				 memchr(v.bytes, '\n', v.length) != NULL))) {
		r->failed = true;
		return NULL;
	}
	return mem_copy(v.bytes, v.length);
}

static void read_origin(struct envelope *e, const struct envelope_context *context, bool origin, struct reader *r)
{
	e->id = context->id;
	if (origin) {
		char *host = read_line_text(r, LIMIT_HOST_NAME);

		if (host == NULL || !id_set_host(&e->id, host))
			r->failed = true;
		free(host);
		e->id.incarnation = read_u32(r);
		e->id.sequence = 0;
	} else if (e->id.host[0] == '\0') {
		r->failed = true; /* nothing before to be the same as */
	}
	e->id.sequence += (uint64_t)read_signed(r);
}

static void read_recipients(struct envelope *e, bool single, struct reader *r)
{
	uint64_t count = single ? 1 : read_varint_max(r, LIMIT_RECIPIENTS);
	uint64_t next = 0;

	for (uint64_t i = 0; i < count && !r->failed; i++) {
		uint64_t index = next + (single ? 0 : read_varint_max(r, UINT32_MAX - 1));
		char *address = read_line_text(r, LIMIT_BANG_PATH);

		if (address == NULL || index >= UINT32_MAX) {
			r->failed = true;
		} else {
			envelope_add_recipient(e, address)->index = (uint32_t)index;
			next = index + 1;
		}
		free(address);
	}
	if (count == 0)
		r->failed = true;
}

static void read_hops(struct envelope *e, const struct envelope_context *context, struct reader *r)
{
	uint64_t count = read_varint_max(r, LIMIT_HOPS + 1 /* our own */);
	int64_t time = context->time;

	for (uint64_t i = 0; i < count && !r->failed; i++) {
		char *host = read_line_text(r, LIMIT_HOST_NAME);
		uint8_t protocol;

		time = (int64_t)((uint64_t)time + (uint64_t)read_signed(r));
		protocol = read_byte(r);
		if (host != NULL && host[0] == '\0' && i == 0) {
			free(host);
			host = mem_string(e->id.host);
		}
		if (host == NULL || !host_name_valid(host) || protocol > HOP_EXPANDED)
			r->failed = true;
		else
			envelope_add_hop(e, host, time, protocol);
		free(host);
	}
}

static void read_source(struct envelope *e, struct reader *value)
{
	free(e->neighbour);
	e->neighbour = read_line_text(value, LIMIT_HOST_NAME);
	e->batch_incarnation = read_u32(value);
	e->batch_sequence = read_varint(value);
}

/* The recipient that an option's value names first. */
static struct recipient *read_recipient_place(struct envelope *e, struct reader *value)
{
	uint64_t place = read_varint(value);

	if (place >= e->recipient_count)
		value->failed = true;
	return value->failed ? NULL : &e->recipients[place];
}

static void read_recipient_option(struct envelope *e, uint64_t option, struct reader *value)
{
	struct recipient *recipient = read_recipient_place(e, value);

	if (recipient == NULL)
		return;
	if (option == OPTION_NOTIFY) {
		recipient->notify = read_byte(value);
		if (recipient->notify > 15)
			value->failed = true;
	} else if (option == OPTION_ORDINAL) {
		recipient->ordinal = (uint32_t)read_varint_max(value, UINT32_MAX);
	} else {
		free(recipient->orcpt);
		recipient->orcpt = view_line_text(value->rest, LIMIT_ORCPT, value);
		value->rest = view_of(NULL, 0);
	}
}

static void read_client(struct envelope *e, struct reader *value)
{
	uint64_t place = read_varint(value);

	if (value->failed || place >= e->hop_count) {
		value->failed = true;
		return;
	}
	free(e->hops[place].client);
	e->hops[place].client = view_line_text(value->rest, LIMIT_CLIENT, value);
	value->rest = view_of(NULL, 0);
}

static void read_option(struct envelope *e, uint64_t option, struct reader *value)
{
	switch (option) {
	case OPTION_RETURN:
		e->ret = (enum return_content)read_varint_max(value, RETURN_HEADERS);
		break;
	case OPTION_ENVID:
		free(e->envid);
		e->envid = view_line_text(value->rest, LIMIT_ENVID, value);
		value->rest = view_of(NULL, 0);
		break;
	case OPTION_LIFETIME:
		e->lifetime = read_varint(value);
		break;
	case OPTION_NOTIFY:
	case OPTION_ORDINAL:
	case OPTION_ORCPT:
		read_recipient_option(e, option, value);
		break;
	case OPTION_SOURCE:
		read_source(e, value);
		break;
	case OPTION_CLIENT:
		read_client(e, value);
		break;
	default:
		if (option & 1)
			value->failed = true;
		value->rest = view_of(NULL, 0);
		break;
	}
	if (value->rest.length > 0)
		value->failed = true;
}

static void read_options(struct envelope *e, struct reader *r)
{
	for (;;) {
		uint64_t option = read_varint(r);
		struct reader value;

		if (r->failed || option == OPTION_END)
			return;
		reader_init(&value, read_view(r, LIMIT_ENVELOPE));
		if (!r->failed)
			read_option(e, option, &value);
		if (value.failed)
			r->failed = true;
	}
}

bool envelope_read(struct envelope *e, struct envelope_context *context, struct reader *r)
{
	uint8_t flags = read_byte(r);

	envelope_init(e);
	e->class = (enum message_class)(flags >> FLAG_CLASS & 3);
	e->body = (enum body_type)(flags >> FLAG_BODY & 3);
	e->smtputf8 = (flags & FLAG_UTF8) != 0;
	if (e->class > CLASS_BULK || e->body > BODY_BINARY)
		r->failed = true;
	read_origin(e, context, (flags & FLAG_ORIGIN) != 0, r);
	e->sender = read_line_text(r, LIMIT_BANG_PATH);
	read_recipients(e, (flags & FLAG_SINGLE) != 0, r);
	read_hops(e, context, r);
	if (flags & FLAG_OPTIONS)
		read_options(e, r);
	if (r->failed) {
		envelope_release(e);
		return false;
	}
	context->id = e->id;
	context->time = e->hop_count > 0 ? e->hops[0].time : context->time;
	return true;
}

/* ---- names ----------------------------------------------------------------------------------------------- */

static const char *const class_names[CLASS_COUNT] = {"urgent", "normal", "bulk"};

const char *class_name(enum message_class class)
{
	return class_names[class];
}

bool class_parse(const char *name, enum message_class *class)
{
	for (size_t i = 0; i < CLASS_COUNT; i++) {
		if (text_same(name, class_names[i])) {
			*class = (enum message_class)i;
			return true;
		}
	}
	return false;
}

static const struct {
	uint8_t bit;
	const char *name;
} notify_names[] = {
    {NOTIFY_NEVER, "never"}, {NOTIFY_SUCCESS, "success"}, {NOTIFY_FAILURE, "failure"}, {NOTIFY_DELAY, "delay"}};

void notify_print(uint8_t notify, char out[static 32])
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < sizeof notify_names / sizeof notify_names[0]; i++)
		if (notify & notify_names[i].bit)
			used += (size_t)snprintf(
			    out + used, 32 - used, "%s%s", used > 0 ? "," : "", notify_names[i].name);
}

/* The bit of one word, 0 when it is none. */
static uint8_t notify_word(struct view word)
{
	for (size_t i = 0; i < sizeof notify_names / sizeof notify_names[0]; i++)
		if (view_same(word, view_text(notify_names[i].name)))
			return notify_names[i].bit;
	return 0;
}

bool notify_parse(const char *text, uint8_t *notify)
{
	uint8_t bits = 0;

	for (;;) {
		size_t length = strcspn(text, ",");
		uint8_t bit = notify_word(view_of(text, length));

		if (bit == 0 || (bits & bit))
			return false;
		bits |= bit;
		if (text[length] == '\0')
			break;
		text += length + 1;
	}
	if ((bits & NOTIFY_NEVER) && bits != NOTIFY_NEVER)
		return false; /* RFC 3461 4.1: NEVER stands alone */
	*notify = bits;
	return true;
}
