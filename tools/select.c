#include "tools/select.h"

#include "lib/text.h"
#include "queue/address.h"
#include "queue/hop.h"
#include "tools/command.h"

bool select_address(const char *pattern, const char *address)
{
	struct address a;
	struct address wanted;

	if (strcmp(pattern, "<>") == 0 || pattern[0] == '\0')
		return address[0] == '\0';
	if (address_parse(&a, view_text(address), NULL) != OUTCOME_DONE)
		return strcmp(pattern, address) == 0;
	if (pattern[0] == '@')
		return view_same(a.domain, view_text(pattern + 1));
	if (address_parse(&wanted, view_text(pattern), NULL) == OUTCOME_DONE && address_equal(&wanted, &a))
		return true;
	/* One word is a user without a domain, or a domain. */
	return strchr(pattern, '@') == NULL && view_same(a.domain, view_text(pattern));
}

uint64_t entry_age(const struct entry *e, const struct age *age)
{
	if (e->arrived_age != 0)
		return age->now > e->arrived_age ? age->now - e->arrived_age : 0;
	return age->wall > e->arrived ? (uint64_t)(age->wall - e->arrived) : 0;
}

bool select_entry(const struct selection *s, const struct entry *e, const struct age *age)
{
	bool found = s->recipient == NULL;

	if (s->by_class && e->class != s->class)
		return false;
	if (s->older > 0 && entry_age(e, age) < s->older)
		return false;
	if (s->sender != NULL && !select_address(s->sender, e->sender))
		return false;
	for (size_t i = 0; i < e->recipient_count && !found; i++)
		found = e->recipients[i].end == ENTRY_WAITS && select_address(s->recipient, e->recipients[i].address);
	return found;
}

void entry_reason(const struct queue_place *place, const struct entry *e, struct buf *out)
{
	uint32_t incarnation;
	uint64_t sequence;

	if (strcmp(place->hop, "hold") == 0) {
		buf_text(out, "held");
	} else if (hop_is_claim(place->hop, place->name)) {
		buf_text(out, "its routing was begun by a relay pass and is not finished");
	} else if (strcmp(place->hop, "new") == 0) {
		buf_text(out, "to be routed");
	} else if (within_batch(place->within, &incarnation, &sequence)) {
		buf_format(out, "in batch %llu, not acknowledged", (unsigned long long)sequence);
		return;
	} else if (text_starts(place->within, "work-")) {
		buf_text(out, "is being delivered");
	}
	for (size_t i = 0; i < e->recipient_count; i++) {
		const struct entry_recipient *r = &e->recipients[i];

		if (r->end != ENTRY_WAITS || r->reason == NULL || r->reason[0] == '\0')
			continue;
		buf_format(out, "%s%s%s%s", out->length > 0 ? ": " : "", r->status, r->status[0] != '\0' ? " " : "",
		    r->reason);
		break;
	}
	if (out->length == 0)
		buf_text(out, "waits for the next relay pass");
}
