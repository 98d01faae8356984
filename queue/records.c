#include "queue/records.h"

#include "lib/alloc.h"
#include "queue/hop.h"

void records_init(struct records *r, const struct queue *q, struct sync_set *sync, records_lost *lost, void *context)
{
	*r = (struct records){.queue = q, .sync = sync, .lost = lost, .context = context};
}

static void hop_release(struct records_hop *h)
{
	if (h == NULL)
		return;
	buf_release(&h->texts);
	dir_close(&h->dir);
	free(h);
}

void records_release(struct records *r)
{
	for (size_t i = 0; i < RECORDS_HOPS; i++) {
		hop_release(r->hops[i]);
		r->hops[i] = NULL;
	}
}

/* A file of TEXT under NAME, in the place of what may have that name: whole from its first moment on. */
static enum outcome put(struct records *r, const struct dir *d, const char *name, struct view text, struct error *err)
{
	char temporary[40];
	int fd;
	enum outcome outcome;

	tmp_name(temporary);
	outcome = file_create(&r->queue->tmp, temporary, &fd, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = file_write(fd, text.bytes, text.length, name, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(&r->queue->tmp, temporary, d, name, err);
	if (outcome != OUTCOME_DONE) {
		file_remove(&r->queue->tmp, temporary, NULL);
		file_close(&fd);
		return outcome;
	}
	sync_add(r->sync, fd);
	sync_add_dir(r->sync, d);
	return OUTCOME_DONE;
}

static struct view item_text(const struct records_hop *h, size_t i)
{
	size_t end = i + 1 < h->count ? h->items[i + 1].at : h->texts.length;

	return view_of(h->texts.bytes + h->items[i].at, end - h->items[i].at);
}

/* Puts what is gathered for one hop where it belongs. */
static void write_out(struct records *r, struct records_hop *h)
{
	const char *first = h->items[0].name;
	struct error err = ERROR_NONE;
	bool shared = h->count > 0 && put(r, &h->dir, first, view_buf(&h->texts), &err) == OUTCOME_DONE;

	for (size_t i = 0; i < h->count; i++) {
		const struct records_item *item = &h->items[i];

		if (shared && (i == 0 || file_link(&h->dir, first, &h->dir, item->name, &err) == OUTCOME_DONE))
			continue;
		/* Another file has the name, or the file system allows no more links: then it has one of its own. */
		if (!shared || put(r, &h->dir, item->name, item_text(h, i), &err) != OUTCOME_DONE)
			r->lost(r->context, item->whose, &err);
	}
	h->count = 0;
	buf_clear(&h->texts);
}

void records_finish(struct records *r)
{
	for (size_t i = 0; i < RECORDS_HOPS; i++)
		if (r->hops[i] != NULL)
			write_out(r, r->hops[i]);
}

static enum outcome hop_for(struct records *r, const char *name, struct records_hop **hop, struct error *err)
{
	struct records_hop *h;
	enum outcome outcome;

	for (size_t i = 0; i < RECORDS_HOPS; i++)
		if (r->hops[i] != NULL && strcmp(r->hops[i]->hop, name) == 0) {
			*hop = r->hops[i];
			return OUTCOME_DONE;
		}
	h = mem_alloc(sizeof *h);
	snprintf(h->hop, sizeof h->hop, "%s", name);
	buf_init(&h->texts, RECORDS_OCTETS);
	outcome = hop_open(r->queue, name, &h->dir, err);
	if (outcome != OUTCOME_DONE) {
		hop_release(h);
		return outcome;
	}
	if (r->hops[r->oldest] != NULL)
		write_out(r, r->hops[r->oldest]);
	hop_release(r->hops[r->oldest]);
	*hop = r->hops[r->oldest] = h;
	r->oldest = (r->oldest + 1) % RECORDS_HOPS;
	return OUTCOME_DONE;
}

enum outcome records_add(struct records *r, const char *hop, const struct entry *e, void *whose, struct error *err)
{
	struct records_item *item;
	struct records_hop *h;
	struct buf text;
	char name[ENTRY_NAME];
	enum outcome outcome = hop_for(r, hop, &h, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	entry_name(e, name);
	buf_init(&text, LIMIT_ENTRY);
	entry_write(e, &text);
	if (text.length > RECORDS_OCTETS) {
		outcome = put(r, &h->dir, name, view_buf(&text), err);
	} else {
		if (h->count == RECORDS_FILE || h->texts.length + text.length > RECORDS_OCTETS)
			write_out(r, h);
		item = &h->items[h->count++];
		*item = (struct records_item){.whose = whose, .at = h->texts.length};
		memcpy(item->name, name, sizeof item->name);
		buf_view(&h->texts, view_buf(&text));
	}
	buf_release(&text);
	return outcome;
}
