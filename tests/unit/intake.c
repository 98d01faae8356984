#include "relay/intake.h"

#include <errno.h>

#include "tests/unit/fault.h"
#include "tests/unit/relay_kit.h"

/* Which look at an open file "….pb" fails, as when its server is away; zero: none does. */
static unsigned look_failing;

int fstat(int fd, struct stat *st)
{
	char *link = mem_format("/proc/self/fd/%d", fd);
	char path[500];
	ssize_t length = look_failing > 0 ? readlink(link, path, sizeof path) : 0;

	free(link);
	if (length > 3 && memcmp(path + length - 3, ".pb", 3) == 0 && --look_failing == 0) {
		errno = ESTALE;
		return -1;
	}
	return fstatat(fd, "", st, AT_EMPTY_PATH);
}

/* a makes batches by hand, b takes them in; c is another neighbour of b. */
struct post {
	struct net net;
	struct host_keys a;
	struct host_keys c;
	struct public_keys b;
	struct relay r;
};

static struct host_keys load_keys(struct net *net, const char *host)
{
	char *path = net_path(net, host, "keys");
	struct host_keys keys;
	struct dir d;

	net_done(net, dir_open(&d, NULL, path, &net->err));
	net_done(net, keys_load(&keys, &d, host, &net->err));
	dir_close(&d);
	free(path);
	return keys;
}

static void post_open(struct post *p)
{
	struct host_keys b;

	*p = (struct post){.net = net_open()};
	net_host(&p->net, "a", "b", "");
	net_host(&p->net, "c", "b", "");
	net_host(&p->net, "b", "a c", "route \"a.example.org\" { via = \"neighbour:a\" }\n");
	net_user(&p->net, "b", "ann");
	p->a = load_keys(&p->net, "a");
	p->c = load_keys(&p->net, "c");
	b = load_keys(&p->net, "b");
	p->b = b.public;
	keys_release(&b);
}

static void post_close(struct post *p)
{
	keys_release(&p->a);
	keys_release(&p->c);
	net_close(&p->net);
}

/* One message of a batch: its number, and the recipients that this half of it has. */
struct letter {
	uint64_t sequence;
	const char *recipients; /* "0=joe 3=ann" */
	const char *content;
	size_t hops;
};

static struct envelope letter_envelope(const struct letter *l, const char *host)
{
	struct envelope e;
	const char *at = l->recipients;

	envelope_init(&e);
	e.id = (struct id){.incarnation = 77, .sequence = l->sequence};
	id_set_host(&e.id, host);
	e.sender = mem_format("joe@%s.example.org", host);
	while (*at != '\0') {
		char *address;
		size_t length = strcspn(at, " ");
		uint64_t index;

		cr_assert(number_parse(view_of(at, strcspn(at, "=")), UINT32_MAX, &index));
		address = mem_copy(at + strcspn(at, "=") + 1, length - strcspn(at, "=") - 1);
		envelope_add_recipient(&e, address)->index = (uint32_t)index;
		free(address);
		at += length + (at[length] == ' ');
	}
	for (size_t i = 0; i < (l->hops == 0 ? 1 : l->hops); i++)
		envelope_add_hop(&e, i == 0 ? host : "other", 1800000000, HOP_LOCAL);
	return e;
}

struct parcel {
	const char *from;
	const char *to;	  /* in the header */
	const char *name; /* of the file in stick/b; null: as it should be */
	uint32_t incarnation;
	uint64_t sequence;
	bool sealed;
};

static void put_batch(struct post *p, const struct parcel *parcel, const struct letter *letters, size_t count)
{
	struct host_keys *keys = strcmp(parcel->from, "c") == 0 ? &p->c : &p->a;
	struct batch_header h = {
	    .incarnation = parcel->incarnation, .sequence = parcel->sequence, .class = 1, .sealed = parcel->sealed};
	struct envelope_context context = {.id.incarnation = parcel->incarnation};
	struct batch_writer w;
	char *path = mem_format("%s/stick/b", p->net.root);
	char file[BATCH_FILE];
	char *name;
	struct dir d;
	int fd;

	batch_file_name(parcel->incarnation, parcel->sequence, file);
	name = parcel->name != NULL ? mem_string(parcel->name) : mem_format("%s.%s", parcel->from, file);
	mkdir(path, 0700);
	net_done(&p->net, dir_open(&d, NULL, path, &p->net.err));
	snprintf(h.from, sizeof h.from, "%s", parcel->from);
	snprintf(h.to, sizeof h.to, "%s", parcel->to);
	id_set_host(&context.id, parcel->from);
	fd = openat(d.fd, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	cr_assert_geq(fd, 0);
	net_done(&p->net, batch_writer_open(&w, fd, name, &h, keys, &p->b, &p->net.err));
	for (size_t i = 0; i < count; i++) {
		const char *content = letters[i].content != NULL ? letters[i].content : KIT_MAIL;
		struct envelope e = letter_envelope(&letters[i], parcel->from);
		struct buf head;

		buf_init(&head, LIMIT_ENVELOPE);
		envelope_write(&e, ENVELOPE_ON_AIR, &context, &head);
		net_done(&p->net, batch_item_begin(&w, BATCH_MESSAGE, view_buf(&head), strlen(content), &p->net.err));
		net_done(&p->net, sink_write(&w.content, content, strlen(content), &p->net.err));
		buf_release(&head);
		envelope_release(&e);
	}
	net_done(&p->net, batch_writer_finish(&w, &p->net.err));
	batch_writer_release(&w);
	close(fd);
	free(name);
	free(path);
	dir_close(&d);
}

static void put_simple(struct post *p, uint64_t sequence, const struct letter *letters, size_t count)
{
	struct parcel parcel = {"a", "b", NULL, 77, sequence, false};

	put_batch(p, &parcel, letters, count);
}

/* Everything but its own acknowledgements. */
static size_t batches_for_b(struct post *p)
{
	return net_stick(&p->net, "b", NULL);
}

Test(intake, sealed_and_sign_only)
{
	static const struct letter letters[] = {{1, "0=joe", NULL, 0}, {2, "0=joe 1=ann", NULL, 0}};

	for (int sealed = 0; sealed < 2; sealed++) {
		struct post p;
		struct parcel parcel = {"a", "b", NULL, 77, 1, sealed};

		post_open(&p);
		put_batch(&p, &parcel, letters, 2);
		net_pass(&p.net, "b");
		net_expect_mails(&p.net, "b", "joe", 2);
		net_expect_mails(&p.net, "b", "ann", 1);
		cr_expect_eq(batches_for_b(&p), 0, "taken from the stick");
		cr_expect_eq(net_stick(&p.net, "a", NULL), 1, "an acknowledgement");
		net_expect_idle(&p.net, "b");
		post_close(&p);
	}
}

Test(intake, the_same_batch_again)
{
	static const struct letter letter = {1, "0=joe", NULL, 0};
	struct post p;

	post_open(&p);
	put_simple(&p, 1, &letter, 1);
	net_copy(&p.net, "stick/b", "kept");
	net_pass(&p.net, "b");
	for (int i = 0; i < 3; i++) {
		net_copy(&p.net, "kept/.", "stick/b");
		net_pass(&p.net, "b");
		cr_expect_eq(batches_for_b(&p), 0);
	}
	net_expect_mails(&p.net, "b", "joe", 1);
	cr_expect_eq(net_log(&p.net, "b", " duplicate "), 3);
	net_expect_idle(&p.net, "b");
	post_close(&p);
}

/* The message came in another batch, in halves, with others, twice in one batch: each recipient has it once. */
Test(intake, duplicates_are_judged_by_recipient)
{
	static const struct letter first = {1, "0=joe", NULL, 0};
	static const struct letter both = {1, "0=joe 1=ann", NULL, 0};
	static const struct letter second = {1, "1=ann", NULL, 0};
	static const struct letter twice[] = {
	    {1, "0=joe", NULL, 0}, {1, "0=joe 2=ann", NULL, 0}, {2, "0=joe", NULL, 0}};
	struct post p;

	post_open(&p);
	put_simple(&p, 1, &first, 1);
	net_pass(&p.net, "b");
	put_simple(&p, 2, &both, 1);
	net_pass(&p.net, "b");
	net_expect_mails(&p.net, "b", "joe", 1);
	net_expect_mails(&p.net, "b", "ann", 1);
	put_simple(&p, 3, &second, 1);
	put_simple(&p, 4, twice, 3);
	net_pass(&p.net, "b");
	net_expect_mails(&p.net, "b", "joe", 2);
	net_expect_mails(&p.net, "b", "ann", 2);
	net_expect_idle(&p.net, "b");
	post_close(&p);
}

/* Both halves arrive before anything is routed. */
Test(intake, two_halves_in_one_pass)
{
	static const struct letter first = {9, "0=joe 1=joe", NULL, 0};
	static const struct letter second = {9, "2=ann", NULL, 0};
	struct post p;

	post_open(&p);
	put_simple(&p, 1, &first, 1);
	put_simple(&p, 2, &second, 1);
	net_pass(&p.net, "b");
	net_expect_mails(&p.net, "b", "joe", 2);
	net_expect_mails(&p.net, "b", "ann", 1);
	post_close(&p);
}

Test(intake, an_empty_batch)
{
	struct post p;

	post_open(&p);
	put_simple(&p, 1, NULL, 0);
	net_pass(&p.net, "b");
	cr_expect_eq(batches_for_b(&p), 0);
	cr_expect_eq(net_stick(&p.net, "a", NULL), 1, "is acknowledged like any other");
	net_expect_idle(&p.net, "b");
	post_close(&p);
}

/* ---- damage -------------------------------------------------------------------------------------------------- */

static void flip(const char *path, size_t offset)
{
	FILE *file = fopen(path, "r+");
	int c;

	cr_assert_not_null(file);
	fseek(file, (long)offset, SEEK_SET);
	c = fgetc(file);
	fseek(file, (long)offset, SEEK_SET);
	fputc(c ^ 0x10, file);
	fclose(file);
}

static size_t size_of(const char *path)
{
	struct stat st;

	cr_assert_eq(stat(path, &st), 0);
	return (size_t)st.st_size;
}

Test(intake, one_octet_changed_anywhere_yields_nothing)
{
	static const struct letter letters[] = {{1, "0=joe", NULL, 0}, {2, "0=ann", NULL, 0}};
	struct post p;
	struct parcel parcel = {"a", "b", NULL, 77, 1, true};
	char *path;
	size_t size;

	post_open(&p);
	put_batch(&p, &parcel, letters, 2);
	net_copy(&p.net, "stick/b", "kept");
	net_stick(&p.net, "b", &path);
	size = size_of(path);
	for (size_t offset = 0; offset < size; offset += 5) {
		flip(path, offset);
		net_try(&p.net, "b");
		cr_assert_eq(net_mails(&p.net, "b", "joe") + net_mails(&p.net, "b", "ann"), 0, "octet %zu", offset);
		cr_assert_eq(net_count(&p.net, "b", "queue") + net_count(&p.net, "b", "in"), 0, "octet %zu", offset);
		net_copy(&p.net, "kept/.", "stick/b");
	}
	for (size_t length = 0; length < size; length += 11) {
		cr_assert_eq(truncate(path, (off_t)length), 0);
		net_try(&p.net, "b");
		cr_assert_eq(net_mails(&p.net, "b", "joe") + net_mails(&p.net, "b", "ann"), 0, "cut to %zu", length);
		net_copy(&p.net, "kept/.", "stick/b");
	}
	net_pass(&p.net, "b");
	net_expect_mails(&p.net, "b", "joe", 1);
	net_expect_mails(&p.net, "b", "ann", 1);
	net_expect(&p.net, "b", "queue", 0);
	free(path);
	post_close(&p);
}

Test(intake, a_lock_that_cannot_be_had_is_told)
{
	struct post p;

	post_open(&p);
	kit_spoil_lock(p.net.root, "b/spool/lock/seen");
	kit_spoilt_told(net_try(&p.net, "b"), &p.net.err);
	post_close(&p);
}

Test(intake, a_damaged_one_is_kept_with_its_reason_and_asked_for_again)
{
	static const struct letter letter = {1, "0=joe", NULL, 0};
	struct post p;
	char *path;

	post_open(&p);
	put_simple(&p, 1, &letter, 1);
	net_stick(&p.net, "b", &path);
	flip(path, size_of(path) - 70);
	net_try(&p.net, "b");
	net_expect(&p.net, "b", "corrupt", 2);
	cr_expect_eq(batches_for_b(&p), 0);
	cr_expect_eq(net_stick(&p.net, "a", NULL), 1, "a hears that b is there");
	net_expect(&p.net, "b", "tmp", 0);
	free(path);
	post_close(&p);
}

/* It is not damaged, whichever look at it fails: nothing of it is lost. */
Test(intake, one_that_cannot_be_looked_at_stays)
{
	static const struct letter letter = {1, "0=joe", NULL, 0};
	bool failed = true;

	for (unsigned n = 1; failed; n++) {
		struct post p;

		cr_assert_lt(n, 20);
		post_open(&p);
		put_simple(&p, 1, &letter, 1);
		look_failing = n;
		net_try(&p.net, "b");
		failed = look_failing == 0;
		look_failing = 0;
		net_expect(&p.net, "b", "corrupt", 0);
		net_pass(&p.net, "b");
		net_expect_mails(&p.net, "b", "joe", 1);
		cr_expect_eq(batches_for_b(&p), 0);
		cr_expect(failed || n > 2, "%u", n);
		post_close(&p);
	}
}

/* A signed batch whose second item is no message: all or nothing. */
Test(intake, nonsense_in_a_signed_batch)
{
	static const struct letter letters[] = {{1, "0=joe", NULL, 0}, {2, "0=ann", "bare\nLF", 0}};
	static const struct letter good[] = {{1, "0=joe", NULL, 0}, {2, "0=ann", NULL, 0}};
	struct post p;

	post_open(&p);
	put_simple(&p, 1, letters, 2);
	net_try(&p.net, "b");
	net_expect_mails(&p.net, "b", "joe", 0);
	net_expect(&p.net, "b", "corrupt", 2);
	net_expect(&p.net, "b", "in", 0);
	put_simple(&p, 1, good, 2);
	net_pass(&p.net, "b");
	net_expect_mails(&p.net, "b", "joe", 1);
	net_expect_mails(&p.net, "b", "ann", 1);
	post_close(&p);
}

/* Files on the stick for b, whatever their names. */
static size_t files_for_b(struct post *p)
{
	char *path = mem_format("%s/stick/b", p->net.root);
	struct names names;
	struct dir d;
	size_t count;

	net_done(&p->net, dir_open(&d, NULL, path, &p->net.err));
	net_done(&p->net, dir_names(&d, &names, &p->net.err));
	count = names.count;
	names_release(&names);
	dir_close(&d);
	free(path);
	return count;
}

/* ---- whose it is --------------------------------------------------------------------------------------------- */

Test(intake, not_for_us_and_not_from_a_neighbour)
{
	static const struct letter letter = {1, "0=joe", NULL, 0};
	static const struct {
		struct parcel parcel;
		bool left;
		const char *what;
	} cases[] = {
	    {{"a", "c", NULL, 77, 1, false}, true, "for somebody else: left for whoever it is for"},
	    {{"a", "b", "z.aaaaaaa.1.pb", 77, 1, false}, true, "named as from a stranger"},
	    {{"c", "b", "a.aaaaaaa.1.pb", 77, 1, false}, false, "named as from another than who signed it"},
	    {{"a", "b", "b.aaaaaaa.1.pb", 77, 1, false}, true, "named as from ourselves"},
	    {{"a", "b", "nothing", 77, 1, false}, true, "not named like a batch"},
	    {{"a", "b", ".pb", 77, 1, false}, true, "no name"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct post p;

		post_open(&p);
		put_batch(&p, &cases[i].parcel, &letter, 1);
		net_try(&p.net, "b");
		net_expect_mails(&p.net, "b", "joe", 0);
		net_expect(&p.net, "b", "in", 0);
		net_expect(&p.net, "b", "queue", 0);
		cr_expect_eq(files_for_b(&p), cases[i].left, "%s", cases[i].what);
		net_expect(&p.net, "b", "corrupt", cases[i].left ? 0 : 2);
		post_close(&p);
	}
}

/* The key in the configuration is not the one it was signed with. */
Test(intake, a_wrong_key)
{
	static const struct letter letter = {1, "0=joe", NULL, 0};
	struct post p;
	struct host_keys keys;

	post_open(&p);
	keys = p.a;
	p.a.sign_secret = p.c.sign_secret;
	put_simple(&p, 1, &letter, 1);
	p.a = keys;
	net_try(&p.net, "b");
	net_expect_mails(&p.net, "b", "joe", 0);
	net_expect(&p.net, "b", "queue", 0);
	net_expect(&p.net, "b", "in", 0);
	post_close(&p);
}

/* One number, two batches: the neighbour was restored from a backup. Nothing of the second is taken, and it is told. */
Test(intake, a_number_used_twice)
{
	static const struct letter first = {1, "0=joe", NULL, 0};
	static const struct letter second = {2, "0=joe", NULL, 0};
	struct post p;

	post_open(&p);
	put_simple(&p, 1, &first, 1);
	net_pass(&p.net, "b");
	put_simple(&p, 1, &second, 1);
	net_try(&p.net, "b");
	net_expect_mails(&p.net, "b", "joe", 1);
	cr_expect_geq(net_log(&p.net, "b", "restored from a backup"), 1);
	post_close(&p);
}

/* ---- what a neighbour can do to us ----------------------------------------------------------------------------- */

Test(intake, hops_up_to_the_limit_and_beyond_do_no_harm)
{
	static const size_t hops[] = {LIMIT_HOPS - 1, LIMIT_HOPS, LIMIT_HOPS + 1};
	static const struct letter harmless = {9, "0=ann", NULL, 0};

	for (size_t i = 0; i < 3; i++) {
		struct letter letter = {1, "0=joe", NULL, hops[i]};
		struct post p;

		post_open(&p);
		put_simple(&p, 1, &letter, 1);
		net_try(&p.net, "b");
		net_expect_mails(&p.net, "b", "joe", hops[i] < LIMIT_HOPS);
		net_expect(&p.net, "b", "in", 0);
		put_simple(&p, 2, &harmless, 1);
		net_try(&p.net, "b");
		net_expect_mails(&p.net, "b", "ann", 1);
		post_close(&p);
	}
}

static void stray_take(struct post *p, const char *content)
{
	char *path = net_path(&p->net, "b", "spool/in/a");

	mkdir(path, 0700);
	free(path);
	path = net_path(&p->net, "b", "spool/in/a/take-aaaacnj-8-0102030405060708");
	cr_assert_eq(mkdir(path, 0700), 0);
	free(path);
	kit_put(p->net.root, "b/spool/in/a/take-aaaacnj-8-0102030405060708/a.aaaacnj.5=0", content);
}

Test(intake, a_damaged_message_half_taken_does_not_stop_the_others)
{
	static const struct letter letter = {1, "0=joe", NULL, 0};
	struct post p;

	post_open(&p);
	stray_take(&p, "nonsense");
	put_simple(&p, 1, &letter, 1);
	net_try(&p.net, "b");
	net_try(&p.net, "b");
	net_expect_mails(&p.net, "b", "joe", 1);
	net_expect(&p.net, "b", "in", 0);
	cr_expect_geq(net_count(&p.net, "b", "corrupt"), 2);
	post_close(&p);
}

/* ---- crashes --------------------------------------------------------------------------------------------------- */

static int step_pass(void *context)
{
	struct post *p = context;
	struct strings due = {0};
	struct relay r;
	int code = 1;

	if (net_relay(&p->net, "b", &r) == OUTCOME_DONE) {
		code = pass_run(&r, &due, &p->net.err) != OUTCOME_DONE;
		strings_release(&due);
		relay_close(&r);
	}
	return code;
}

static int step_prepare(void *context)
{
	static const struct letter letters[] = {
	    {1, "0=joe 1=nobody", NULL, 0}, {2, "0=ann", NULL, 0}, {2, "0=ann", NULL, 0}};
	struct post *p = context;
	struct post made;

	/* In a process of its own: the plan of faults is read at the first change. */
	post_open(&made);
	put_simple(&made, 1, letters, 3);
	kit_put("/", p->net.root + 1, made.net.root);
	keys_release(&made.a);
	keys_release(&made.c);
	free(made.net.root);
	return 0;
}

static void sweep(const char *kind, unsigned step)
{
	enum fault_end end = FAULT_KILLED;

	for (unsigned n = 1; fault_goes_on(kind, end, n); n += step) {
		char note[] = "/tmp/packetboat-unit-note-XXXXXX";
		struct post p = {.net.root = note};
		int fd = mkstemp(note);

		cr_assert_geq(fd, 0);
		close(fd);
		cr_assert_lt(n, 600);
		cr_assert_eq(fault_run(NULL, 0, step_prepare, &p), FAULT_RAN);
		p.net.root = kit_text("/", note + 1);
		cr_assert_not_null(p.net.root);
		unlink(note);
		end = fault_run(kind, n, step_pass, &p);
		cr_assert(end != FAULT_RAN || n > 10 || kind[0] == 'f', "no fault struck");
		cr_assert_eq(fault_run(NULL, 0, step_pass, &p), FAULT_RAN);
		cr_assert_eq(fault_run(NULL, 0, step_pass, &p), FAULT_RAN);
		cr_expect_eq(net_mails(&p.net, "b", "joe"), 1, "%u: joe has %zu", n, net_mails(&p.net, "b", "joe"));
		cr_expect_eq(net_mails(&p.net, "b", "ann"), 1, "%u: ann has %zu", n, net_mails(&p.net, "b", "ann"));
		/* The report waits for a, or is packed for it already. */
		cr_expect_eq(net_count(&p.net, "b", "queue/neighbour-a"), 1, "%u: %zu reports", n,
		    net_count(&p.net, "b", "queue/neighbour-a"));
		cr_expect_eq(net_count(&p.net, "b", "queue"), 1, "%u", n);
		cr_expect_eq(net_count(&p.net, "b", "msg"), 1, "%u", n);
		cr_expect_eq(net_count(&p.net, "b", "in"), 0, "%u", n);
		cr_expect_eq(net_count(&p.net, "b", "tmp"), 0, "%u", n);
		cr_expect_eq(net_count(&p.net, "b", "stage"), 0, "%u", n);
		cr_expect_eq(net_count(&p.net, "b", "corrupt"), 0, "%u", n);
		cr_expect_eq(net_stick(&p.net, "b", NULL), 0, "%u", n);
		net_close(&p.net);
	}
}

Test(intake, killed_at_any_point)
{
	sweep("kill", 1);
}

Test(intake, failing_at_any_point)
{
	sweep("fail", 3);
}
