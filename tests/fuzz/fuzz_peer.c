/*
 * The state files of a neighbour: peer, groups, manifest. The first octet chooses which, and whether the rest
 * is the whole file or a body that is given magic and digest here (which no fuzzer finds). Law: whatever is
 * accepted prints to the same octets; and the other functions get on with it.
 */
#include <stdint.h>

#include "lib/limits.h"
#include "spool/peer.h"
#include "spool/statefile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(struct buf *printed, struct view bytes)
{
	if (printed->failed || !view_equal(view_buf(printed), bytes))
		abort();
}

static void use_peer(struct peer *p)
{
	static const uint8_t mark[BATCH_MARK] = {1};
	struct batch_header h = {.sequence = 1};
	struct ranges done = {0};
	struct buf again;
	struct peer q;

	peer_fill_header(p, &h);
	(void)peer_take_ack(p, &h, &done);
	h.ack.incarnation = p->incarnation;
	if (peer_take_ack(p, &h, &done) == ACK_STRANGER && done.count > 0)
		abort();
	for (size_t i = 0; i < p->source_count; i++)
		peer_take(&p->sources[i], p->next, mark);
	while (peer_out_stale(p) != NULL)
		peer_out_drop(p, peer_out_stale(p));
	peer_out_add(p, 7);
	peer_out_remove(p, 7);
	/* What was taken in goes out again. */
	buf_init(&again, LIMIT_SMALL_FILE);
	peer_print(p, &again);
	if (!peer_parse(view_buf(&again), &q))
		abort();
	peer_release(&q);
	buf_release(&again);
	ranges_release(&done);
	batch_header_release(&h);
}

static void try_peer(struct view bytes, struct buf *out)
{
	struct peer p;

	if (peer_parse(bytes, &p)) {
		peer_print(&p, out);
		same(out, bytes);
		use_peer(&p);
		peer_release(&p);
	}
}

static void try_groups(struct view bytes, struct buf *out)
{
	struct event_groups g;

	if (event_groups_parse(bytes, &g)) {
		event_groups_print(&g, out);
		same(out, bytes);
		event_groups_release(&g);
	}
}

static void try_manifest(struct view bytes, struct buf *out)
{
	struct manifest m;

	if (manifest_parse(bytes, &m)) {
		manifest_print(&m, out);
		same(out, bytes);
		manifest_release(&m);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct {
		const char *magic;
		void (*attempt)(struct view bytes, struct buf *out);
	} kinds[] = {{"pbpeer", try_peer}, {"pbevnt", try_groups}, {"pbsent", try_manifest}};
	struct buf in;
	struct buf out;
	size_t kind;

	if (size == 0)
		return 0;
	kind = (data[0] >> 1) % 3;
	buf_init(&in, LIMIT_SMALL_FILE);
	buf_init(&out, LIMIT_SMALL_FILE);
	if ((data[0] & 1) != 0)
		statefile_begin(&in, kinds[kind].magic);
	buf_append(&in, data + 1, size - 1);
	if ((data[0] & 1) != 0)
		statefile_end(&in);
	kinds[kind].attempt(view_buf(&in), &out);
	buf_release(&in);
	buf_release(&out);
	return 0;
}
