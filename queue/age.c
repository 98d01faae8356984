#include "queue/age.h"

#include <sodium.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/text.h"
#include "lib/wire.h"

#define AGE_FILE "age"
/* A jump worth telling: more than drift or daylight could explain. */
#define AGE_JUMP 172800
/* How much may be unsaved, seconds. */
#define AGE_GRAIN 60
/* Octets of the digest at the end of the file: damage must not make all mail old. */
#define AGE_DIGEST crypto_generichash_BYTES_MIN

static void age_digest(struct view text, uint8_t digest[AGE_DIGEST])
{
	crypto_generichash(digest, AGE_DIGEST, text.bytes, text.length, NULL, 0);
}

static bool age_digest_holds(struct view text)
{
	uint8_t digest[AGE_DIGEST];

	age_digest(view_of(text.bytes, text.length - AGE_DIGEST), digest);
	return memcmp(digest, text.bytes + text.length - AGE_DIGEST, AGE_DIGEST) == 0;
}

static bool age_parse(struct view text, struct age *age)
{
	struct reader r;

	reader_init(&r, text);
	if (text.length <= AGE_DIGEST || !age_digest_holds(text) || !view_is(read_bytes(&r, 6), "pbage1"))
		return false;
	age->now = read_u64(&r);
	age->wall = (int64_t)read_u64(&r);
	age->jumped = (int64_t)read_u64(&r);
	age->jumped_at = (int64_t)read_u64(&r);
	read_bytes(&r, AGE_DIGEST);
	return !r.failed && r.rest.length == 0;
}

/* What is kept in STATE, if anything is: a damaged file is as good as none. */
static enum outcome age_read(const struct dir *state, struct age *age, bool *kept, struct error *err)
{
	struct error why = ERROR_NONE;
	struct buf text;
	enum outcome outcome;

	buf_init(&text, 256);
	outcome = file_read(state, AGE_FILE, &text, &why);
	*kept = outcome == OUTCOME_DONE && age_parse(view_buf(&text), age);
	buf_release(&text);
	if (outcome == OUTCOME_DONE || why.code == EX_NOINPUT || why.code == EX_DATAERR)
		return OUTCOME_DONE;
	if (err != NULL)
		*err = why;
	return outcome;
}

/* Is it a jump from the one to the other? */
static bool jumps(int64_t from, int64_t to)
{
	return to - from > AGE_JUMP || to - from < -AGE_GRAIN;
}

static void age_advance(struct age *age, int64_t wall)
{
	int64_t step = wall - age->wall;

	if (jumps(age->wall, wall)) {
		age->jumped = step;
		age->jumped_at = wall;
	}
	age->now += (uint64_t)(step < 0 ? 0 : step > AGE_STEP ? AGE_STEP : step);
	age->wall = wall;
}

/* From what is kept, or from BEFORE if that is more; without either, ages begin anew: mail waits longer, which loses nothing. */
static enum outcome age_look_from(
    const struct age *before, const struct dir *state, struct age *age, struct error *err)
{
	int64_t wall = clock_now();
	struct age seen;
	bool kept;
	enum outcome outcome = age_read(state, &seen, &kept, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	if (!kept || seen.now < before->now) {
		bool known = kept && jumps(before->wall, wall) && !jumps(seen.wall, wall);

		/* Who looked since has seen the jump, and told of it. */
		if (known)
			seen.now = before->now;
		else
			seen = *before;
	}
	*age = seen.now > 0 ? seen : (struct age){.now = AGE_STEP, .wall = wall};
	age_advance(age, wall);
	return OUTCOME_DONE;
}

enum outcome age_look(const struct dir *state, struct age *age, struct error *err)
{
	return age_look_from(&(struct age){.now = 0}, state, age, err);
}

/* A jump that was not among what is kept. */
static void tell_jump(struct log *log, const struct age *age)
{
	struct log_line line;
	char span[24];

	duration_print((uint64_t)(age->jumped < 0 ? -age->jumped : age->jumped), span);
	log_begin(&line, log, "-", "clock");
	log_text(&line, "jumped", age->jumped < 0 ? "back" : "forward");
	log_text(&line, "by", span);
	log_end(&line);
}

enum outcome age_keep(
    const struct dir *tmp, const struct dir *state, struct log *log, const struct age *age, struct error *err)
{
	struct age old;
	uint8_t digest[AGE_DIGEST];
	struct buf text;
	bool kept;
	enum outcome outcome;

	/* One that cannot be read now is written anew. */
	(void)age_read(state, &old, &kept, NULL);
	/* Less than what is kept: another process has looked since. */
	if (kept && (age->now < old.now || (age->now < old.now + AGE_GRAIN && age->wall < old.wall + AGE_GRAIN &&
					       age->wall >= old.wall)))
		return OUTCOME_DONE;
	buf_init(&text, 256);
	buf_text(&text, "pbage1");
	wire_u64(&text, age->now);
	wire_u64(&text, (uint64_t)age->wall);
	wire_u64(&text, (uint64_t)age->jumped);
	wire_u64(&text, (uint64_t)age->jumped_at);
	age_digest(view_buf(&text), digest);
	buf_append(&text, digest, sizeof digest);
	outcome = file_commit(tmp, state, AGE_FILE, view_buf(&text), err);
	if (outcome == OUTCOME_DONE && kept && age->jumped != 0 && age->jumped_at != old.jumped_at)
		tell_jump(log, age);
	buf_release(&text);
	return outcome;
}

enum outcome age_tick(
    const struct dir *tmp, const struct dir *state, struct log *log, struct age *age, struct error *err)
{
	struct age before = *age;
	enum outcome outcome = age_look_from(&before, state, age, err);

	return outcome == OUTCOME_DONE ? age_keep(tmp, state, log, age, err) : outcome;
}
