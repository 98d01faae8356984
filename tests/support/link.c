/*
 * link [OPTION...] LISTEN CONNECT: a line between two byte streams: slow, far, half-duplex, cut, at will.
 *
 * LISTEN, the near end, is a port of loopback (0: the system chooses) or HOST:PORT or the PATH of a socket; where it listens is
 * printed on standard output, a line. For each connection, or one at a time, CONNECT is called: HOST:PORT, the PATH of a
 * socket, or exec:PROGRAM ARG..., whose standard input and output are the far end. LISTEN may be "-": the near end is link's own
 * standard input and output, and it leaves when the connection (and its program) has ended: 0 when both ends closed it, else 1.
 *
 *	--rate BITS, --rate-back BITS	a second, 8 to the octet; back: from far to near (default: the same). Without: no limit
 *	--delay MS			one way
 *	--buffer OCTETS			that the line takes ahead of what it has carried, a direction. Default: a second of the
 *					line, at least 256, at most 4 MB; 256 kB of a line without a rate
 *	--half-duplex --turn MS --quiet MS --hold MS	see link_line.h. Quiet: default a tenth of the turn; hold: without limit
 *	--speed FACTOR			time runs so many times as fast: all other numbers are of simulated time
 *	--cut-after [forth:|back:]N	the connection is cut when N octets were delivered, one way or both ways together
 *	--cut-random SEED,MEAN		after a number of octets, both ways together, drawn evenly from 1 to 2 MEAN - 1 for each
 *					connection. The same seed gives the same numbers; a link that starts anew begins anew
 *	--cut-time MS			after its beginning
 *	--cut-with rst|fin		how: TCP connections are reset (default) or closed; all else can only be closed
 *	--drop-tail, --keep-tail	what the line has accepted by then is lost (default), or is still carried before the cut
 *	--stall-after [forth:|back:]N	carries nothing more in either direction, not even an end, but stays
 *	--corrupt [forth:|back:]N	a bit of the N-th octet accepted is changed
 *	--one-at-a-time			the next connection waits until the last has ended
 *	--report FILE			a line of JSON for each connection that ended is appended
 *	--log FILE			a line for each piece: seconds, connection, direction, what, octets, octets in all
 *
 * The end of one direction (a half-closed socket) is passed on behind its last octet, a delay later. A reset of one end resets
 * the other. When a program or a pipe takes no more, what was for it is lost, and what comes from it goes on to its end. A cut
 * comes at exactly N octets given to the receivers' kernels; what of them a receiver that does not read has in its kernel may be
 * lost to it by the reset, as with any reset.
 *
 * What the writer may be ahead of the line is `buffer` and what the kernel holds, which is kept as small as it goes: the report's
 * `kernel` is the most that it takes on our side (a pipe's size, a TCP socket's SO_RCVBUF). Beyond that is the writer's own
 * send buffer; TCP connections have a small segment size here, so that the system gives the writer some 40 kB of it instead
 * of the 4 MB usual on loopback, unless the writer sets SO_SNDBUF itself. What a Unix socket holds, a socket pair too, is for
 * its writer alone to limit (208 kB if it does not): `kernel` is 0 there. The tightest is a pipe: one page, 4,096 octets.
 *
 * The report: numbers as accepted, delivered and lost in either direction, where lost is accepted and not delivered; `waited`:
 * octets that came while the half-duplex line was the other side's; `ahead`: the most that was accepted and not delivered at one
 * time; `seconds` from the first octet accepted to the last delivered and `seconds_whole` from the beginning to the end, in
 * simulated time, `real` and `real_whole` the same in real time; `line_turns`: how often the half-duplex line was turned round;
 * `turns`, the turn-arounds:
 *
 *	A side's octets count as a turn-around when, as they are accepted, the line is silent (all that was accepted in either
 *	direction has been delivered) and the side has been given octets since it last sent any: it waited for them, and
 *	answers. The first side to speak makes none; two sides that answer at once make one; whoever sends on while answers are on
 *	their way makes none. On a line without a rate a writer that is slower than the line lets it fall silent at any time, so
 *	that the number says less there.
 *
 * `end` is "closed" by both ends; "cut"; "reset-near", "reset-far" by that end, or a far end that could not be reached;
 * "stalled" and then left by both ends; "stopped" by a signal (TERM, INT, HUP), which ends all.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "lib/limits.h"
#include "lib/listen.h"
#include "tests/support/link_ends.h"

#define ROUNDS 64 /* of reading and writing for one connection before the others get their turn */
#define SLOTS  (2 * ENDS)

static const char *const way_names[WAYS] = {"forth", "back"};

/* What link does for one way, beside the line. */
struct flow {
	bool readable;	    /* poll said so, and nothing said otherwise since */
	size_t known;	    /* octets seen in the kernel when there was no room for them */
	int64_t known_at;   /* and when */
	bool ended, passed; /* the writer has closed; the receiver was told */
	int64_t ended_at;
	uint64_t heard; /* what the other way had delivered when this one last accepted */
	uint64_t waited, ahead;
};

struct connection {
	uint64_t number;
	struct line line;
	struct end ends[ENDS];
	struct flow flows[WAYS];
	struct mark cut;
	uint64_t turns;
	int64_t begun, first, last;
	bool stalled, cutting;
	const char *over; /* how it ended; null while it has not */
};

static struct connection **connections;
static size_t connection_count, connection_capacity;
static uint64_t connections_begun;
static pid_t *children;
static size_t child_count, child_capacity;
static int report_fd = -1;
static FILE *log_file;
static int status; /* to leave with, when there is only one connection */
static volatile sig_atomic_t told_to_stop;

/* ---- time ------------------------------------------------------------------------------------------------ */

/* Simulated nanoseconds since the first call. */
static int64_t now(void)
{
	static int64_t begun;
	struct timespec t;
	int64_t real;

	clock_gettime(CLOCK_MONOTONIC, &t);
	real = (int64_t)t.tv_sec * SECOND + t.tv_nsec;
	if (begun == 0)
		begun = real;
	return (int64_t)((double)(real - begun) * settings.speed);
}

static double seconds_of(int64_t nanoseconds)
{
	return (double)nanoseconds / (double)SECOND;
}

static void note(const struct connection *c, int way, const char *what, size_t count, uint64_t all)
{
	if (log_file != NULL)
		fprintf(log_file, "%.6f %" PRIu64 " %s %s %zu %" PRIu64 "\n", seconds_of(now() - c->begun), c->number,
		    way_names[way], what, count, all);
}

/* Programs that have ended. */
static void reap(void)
{
	for (size_t i = 0; i < child_count;) {
		if (waitpid(children[i], NULL, WNOHANG) == 0)
			i++;
		else
			children[i] = children[--child_count];
	}
}

/* ---- the life of a connection ---------------------------------------------------------------------------- */

/* splitmix64: one number for each place in a row that the seed begins. */
static uint64_t draw(uint64_t seed, uint64_t place)
{
	uint64_t z = seed + place * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void connection_begin(int in, int out)
{
	struct connection *c = mem_alloc(sizeof *c);
	int far = -1;

	c->number = ++connections_begun;
	c->begun = c->first = c->last = now();
	settings_line(&settings, &c->line);
	c->cut = settings.cut;
	if (settings.random_mean > 0)
		c->cut = (struct mark){.way = WAYS,
		    .octets = 1 + draw(settings.random_seed, c->number) % (2 * settings.random_mean - 1)};
	end_init(&c->ends[NEAR], in, out);
	if (settings.far == NULL) {
		children = mem_grow(children, child_count, &child_capacity, sizeof *children);
		children[child_count++] = start_program(&c->ends[FAR]);
	} else {
		far = strchr(settings.far, '/') != NULL ? connect_path(settings.far) : connect_tcp(settings.far);
		if (far < 0)
			c->over = "reset-far";
		end_init(&c->ends[FAR], far, far);
	}
	connections = mem_grow(connections, connection_count, &connection_capacity, sizeof *connections);
	connections[connection_count++] = c;
}

/* Octets until M is reached; UINT64_MAX when it never is. */
static uint64_t until(const struct connection *c, struct mark m, int way)
{
	const struct way *ways = c->line.ways;
	uint64_t done = m.way == WAYS ? ways[FORTH].delivered + ways[BACK].delivered : ways[m.way % WAYS].delivered;

	if (m.octets == 0 || (m.way != WAYS && m.way != way))
		return UINT64_MAX;
	return done < m.octets ? m.octets - done : 0;
}

static void connection_cut(struct connection *c)
{
	if (settings.keep_tail)
		c->cutting = true;
	else
		c->over = "cut";
}

/* After what was delivered on WAY. */
static void look_at_marks(struct connection *c, int way)
{
	if (!c->cutting && until(c, c->cut, way) == 0)
		connection_cut(c);
	if (until(c, settings.stall, way) == 0)
		c->stalled = true;
}

/* The octets FROM to TO of W's ring, in one piece or two. */
static int spans(const struct way *w, uint64_t from, uint64_t to, struct iovec out[2])
{
	size_t at = (size_t)(from % w->size);
	size_t count = (size_t)(to - from);
	size_t first = count < w->size - at ? count : w->size - at;

	out[0] = (struct iovec){.iov_base = w->octets + at, .iov_len = first};
	out[1] = (struct iovec){.iov_base = w->octets, .iov_len = count - first};
	return first < count ? 2 : 1;
}

static bool would_block(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/*
 * Nobody reads what comes by WAY. A connection that says so is gone; but a program, or whoever reads our output, may have
 * written its last octets before it left, and they are still to be carried the other way.
 */
static void way_refused(struct connection *c, int way)
{
	struct end *receiver = &c->ends[BACK - way];
	struct flow *f = &c->flows[way];

	if (receiver->is_socket) {
		c->over = way == FORTH ? "reset-far" : "reset-near";
		return;
	}
	end_pass(receiver);
	f->ended = f->passed = true;
	f->known = 0;
	c->line.ways[way].stuck = true;
}

/* Writes what has arrived on WAY; says whether anything moved. */
static bool deliver(struct connection *c, int way)
{
	struct way *w = &c->line.ways[way];
	uint64_t most = w->arrived - w->delivered;
	uint64_t limit = c->cutting ? UINT64_MAX : until(c, c->cut, way);
	struct iovec parts[2];
	ssize_t written;

	limit = limit < until(c, settings.stall, way) ? limit : until(c, settings.stall, way);
	most = most < limit ? most : limit;
	if (most == 0 || c->stalled || c->flows[way].passed)
		return false;
	written = writev(c->ends[BACK - way].out, parts, spans(w, w->delivered, w->delivered + most, parts));
	if (written < 0 && !would_block()) {
		way_refused(c, way);
		return false;
	}
	way_deliver(w, written < 0 ? 0 : (size_t)written, written < (ssize_t)most, now());
	if (written <= 0)
		return false;
	c->last = now();
	note(c, way, "delivered", (size_t)written, w->delivered);
	look_at_marks(c, way);
	return true;
}

/* Changes a bit of the octet that the settings say, if it is among the COUNT that W is about to accept. */
static void corrupt(const struct connection *c, int way, size_t count)
{
	const struct way *w = &c->line.ways[way];
	struct mark m = settings.corrupt;
	uint64_t before = m.way == WAYS ? c->line.ways[FORTH].accepted + c->line.ways[BACK].accepted : w->accepted;

	if ((m.way == WAYS || m.way == way) && m.octets > before && m.octets - before <= count)
		w->octets[(w->accepted + m.octets - before - 1) % w->size] ^= (uint8_t)(1U << (m.octets % 8));
}

/* COUNT octets of WAY, which had come by AT, are in its ring. */
static void accept_octets(struct connection *c, int way, size_t count, int64_t at)
{
	struct way *w = &c->line.ways[way];
	const struct way *other = &c->line.ways[BACK - way];
	struct flow *f = &c->flows[way];

	if (way_is_empty(w) && way_is_empty(other) && other->delivered > f->heard)
		c->turns++;
	f->heard = other->delivered;
	if (w->accepted == 0 && other->accepted == 0)
		c->first = now();
	if (c->line.half_duplex && c->line.owner == BACK - way)
		f->waited += count;
	corrupt(c, way, count);
	way_accept(w, count, at);
	if (w->accepted - w->delivered > f->ahead)
		f->ahead = w->accepted - w->delivered;
	note(c, way, "accepted", count, w->accepted);
}

/*
 * Reads for WAY what its buffer has room for; says whether anything moved. When the buffer is full, what waits in the kernel
 * is counted: as soon as there is room it counts as come, so that the line does not stand still for as long as we slept.
 */
static bool take(struct connection *c, int way)
{
	struct way *w = &c->line.ways[way];
	struct flow *f = &c->flows[way];
	size_t most = way_room(w);
	bool is_known = f->known > 0;
	struct iovec parts[2];
	int seen = 0;
	ssize_t got;

	if (most == 0 || f->ended || c->cutting || (!is_known && !f->readable))
		return false;
	if (is_known && f->known < most)
		most = f->known;
	got = readv(c->ends[way].in, parts, spans(w, w->accepted, w->accepted + most, parts));
	f->readable = got > 0;
	if (got < 0 && !would_block())
		c->over = way == FORTH ? "reset-near" : "reset-far";
	if (got == 0) {
		f->ended = true;
		f->ended_at = now();
	}
	if (got <= 0) {
		f->known = 0;
		return false;
	}
	accept_octets(c, way, (size_t)got, is_known ? f->known_at : now());
	f->known -= is_known ? (size_t)got : 0;
	if (way_room(w) == 0 && f->known == 0 && ioctl(c->ends[way].in, FIONREAD, &seen) == 0) {
		f->known = (size_t)seen;
		f->known_at = now();
	}
	return true;
}

static int64_t end_arrives(const struct connection *c, int way)
{
	const struct flow *f = &c->flows[way];

	if (!f->ended || f->passed || c->stalled || !way_is_empty(&c->line.ways[way]))
		return NEVER;
	return f->ended_at + c->line.ways[way].delay;
}

static void look_at_ends(struct connection *c)
{
	int64_t at = now();

	for (int i = 0; i < WAYS; i++) {
		if (end_arrives(c, i) <= at) {
			end_pass(&c->ends[BACK - i]);
			c->flows[i].passed = true;
			note(c, i, "ended", 0, c->line.ways[i].delivered);
		}
	}
	if (c->flows[FORTH].passed && c->flows[BACK].passed)
		c->over = "closed";
	if (c->stalled && c->flows[FORTH].ended && c->flows[BACK].ended)
		c->over = "stalled";
}

/* Is there nothing more to carry, or nobody to take it? */
static bool way_is_done(const struct way *w)
{
	return way_is_empty(w) || w->stuck;
}

static void look_at_cut(struct connection *c)
{
	if (!c->cutting && settings.cut_time != NEVER && now() - c->begun >= settings.cut_time)
		connection_cut(c);
	if (c->cutting && way_is_done(&c->line.ways[FORTH]) && way_is_done(&c->line.ways[BACK]))
		c->over = "cut";
}

/* Moves what can be moved now. */
static void connection_move(struct connection *c)
{
	bool moved = true;

	for (int round = 0; moved && round < ROUNDS; round++) {
		uint64_t turns = c->line.turns;

		if (!c->stalled)
			line_advance(&c->line, now());
		if (c->line.turns > turns)
			note(c, c->line.owner, "turned", 0, c->line.turns);
		moved = false;
		for (int i = 0; i < WAYS && c->over == NULL; i++)
			moved |= deliver(c, i);
		for (int i = 0; i < WAYS && c->over == NULL; i++)
			moved |= take(c, i);
	}
	if (c->over == NULL)
		look_at_ends(c);
	if (c->over == NULL)
		look_at_cut(c);
}

/* When the connection must be looked at again if none of its descriptors says so before. */
static int64_t connection_next(const struct connection *c)
{
	int64_t next = c->stalled ? NEVER : line_next(&c->line);

	for (int i = 0; i < WAYS; i++) {
		const struct way *w = &c->line.ways[i];

		if (end_arrives(c, i) < next)
			next = end_arrives(c, i);
		/* The rounds were used up. */
		if (!c->stalled && ((w->arrived > w->delivered && !w->stuck) ||
				       (c->flows[i].known > 0 && !c->cutting && way_room(w) > 0)))
			next = 0;
	}
	if (settings.cut_time != NEVER && !c->cutting && c->begun + settings.cut_time < next)
		next = c->begun + settings.cut_time;
	return next;
}

/* ---- the report ------------------------------------------------------------------------------------------ */

static void report_pair(struct buf *b, const char *name, uint64_t forth, uint64_t back)
{
	buf_format(b, ",\"%s\":{\"forth\":%" PRIu64 ",\"back\":%" PRIu64 "}", name, forth, back);
}

static void report(const struct connection *c)
{
	const struct way *f = &c->line.ways[FORTH];
	const struct way *b = &c->line.ways[BACK];
	double first_to_last = seconds_of(c->last > c->first ? c->last - c->first : 0);
	double whole = seconds_of(now() - c->begun);
	struct buf line;

	if (report_fd < 0)
		return;
	buf_init(&line, COPY_CHUNK);
	buf_format(&line, "{\"connection\":%" PRIu64 ",\"end\":\"%s\"", c->number, c->over);
	report_pair(&line, "accepted", f->accepted, b->accepted);
	report_pair(&line, "delivered", f->delivered, b->delivered);
	report_pair(&line, "lost", f->accepted - f->delivered, b->accepted - b->delivered);
	report_pair(&line, "waited", c->flows[FORTH].waited, c->flows[BACK].waited);
	report_pair(&line, "ahead", c->flows[FORTH].ahead, c->flows[BACK].ahead);
	report_pair(&line, "buffer", f->buffer, b->buffer);
	buf_format(&line, ",\"kernel\":{\"near\":%" PRIu64 ",\"far\":%" PRIu64 "}", c->ends[NEAR].kernel,
	    c->ends[FAR].kernel);
	buf_format(&line, ",\"turns\":%" PRIu64 ",\"line_turns\":%" PRIu64, c->turns, c->line.turns);
	buf_format(&line, ",\"seconds\":%.6f,\"seconds_whole\":%.6f,\"real\":%.6f,\"real_whole\":%.6f}\n",
	    first_to_last, whole, first_to_last / settings.speed, whole / settings.speed);
	if (write(report_fd, line.bytes, line.length) != (ssize_t)line.length)
		warn("cannot write the report");
	buf_release(&line);
}

static void connection_end(struct connection *c)
{
	bool abrupt = text_starts(c->over, "reset") || (strcmp(c->over, "cut") == 0 && !settings.cut_with_fin);

	report(c);
	status = strcmp(c->over, "closed") == 0 ? 0 : 1;
	for (int i = 0; i < ENDS; i++)
		end_close(&c->ends[i], abrupt ? CLOSE_RESET : CLOSE_QUIETLY);
	for (int i = 0; i < WAYS; i++)
		way_release(&c->line.ways[i]);
	if (log_file != NULL)
		fflush(log_file);
	free(c);
}

/* ---- all of them ----------------------------------------------------------------------------------------- */

/* What to ask about a connection: reading of both ends, then writing. A descriptor that nothing is wanted of is left out, since
 * it would say again and again that it is closed. */
static void ask(const struct connection *c, struct pollfd slots[SLOTS])
{
	for (int i = 0; i < WAYS; i++) {
		const struct way *w = &c->line.ways[i];
		const struct flow *f = &c->flows[i];
		bool wants = !f->ended && !c->cutting && way_room(w) > 0;
		bool watches = c->stalled && !f->ended;

		slots[i] = (struct pollfd){.fd = wants || watches ? c->ends[i].in : -1};
		slots[i].events = (short)((wants ? POLLIN : 0) | (watches ? POLLRDHUP : 0));
		slots[ENDS + i] =
		    (struct pollfd){.fd = w->stuck && !c->stalled ? c->ends[BACK - i].out : -1, .events = POLLOUT};
	}
}

static void hear(struct connection *c, const struct pollfd slots[SLOTS])
{
	for (int i = 0; i < WAYS; i++) {
		if (slots[i].revents & (POLLIN | POLLHUP | POLLERR))
			c->flows[i].readable = true;
		/* Whoever leaves a stalled line can only be seen to do so. */
		if (c->stalled && way_room(&c->line.ways[i]) == 0 &&
		    (slots[i].revents & (POLLRDHUP | POLLHUP | POLLERR)))
			c->flows[i].ended = true;
	}
}

static void move_all(const struct pollfd *slots, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < connection_count; i++) {
		struct connection *c = connections[i];

		if (i < count)
			hear(c, slots + i * SLOTS);
		if (c->over == NULL)
			connection_move(c);
		if (c->over == NULL && told_to_stop)
			c->over = "stopped";
		if (c->over == NULL)
			connections[kept++] = c;
		else
			connection_end(c);
	}
	connection_count = kept;
}

/* How long to wait, in real time; null: until a descriptor or a signal says so. */
static const struct timespec *patience(struct timespec *out)
{
	int64_t next = NEVER;
	int64_t wait;

	for (size_t i = 0; i < connection_count; i++) {
		int64_t one = connection_next(connections[i]);

		next = one < next ? one : next;
	}
	if (next == NEVER)
		return NULL;
	wait = next - now();
	/* Never a moment too early. */
	wait = wait <= 0 ? 0 : (int64_t)((double)wait / settings.speed) + 1;
	*out = (struct timespec){.tv_sec = wait / SECOND, .tv_nsec = wait % SECOND};
	return out;
}

static void accept_all(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		connection_begin(fd, fd);
		if (settings.one_at_a_time)
			return;
	}
	if (!would_block() && errno != ECONNABORTED)
		err(EX_OSERR, "accept");
}

/* One round: waits, and does what is to be done then. Signals come only while it waits. */
static void work(int listener, const sigset_t *waiting_mask)
{
	struct pollfd *slots = mem_array(connection_count * SLOTS + 1, sizeof *slots);
	size_t count = connection_count;
	struct pollfd *door = &slots[count * SLOTS];
	struct timespec time_out;

	for (size_t i = 0; i < count; i++)
		ask(connections[i], slots + i * SLOTS);
	*door = (struct pollfd){.fd = settings.one_at_a_time && count > 0 ? -1 : listener, .events = POLLIN};
	if (ppoll(slots, count * SLOTS + 1, patience(&time_out), waiting_mask) < 0 && errno != EINTR)
		err(EX_OSERR, "ppoll");
	if (door->revents != 0)
		accept_all(listener);
	move_all(slots, count);
	reap();
	free(slots);
}

static void on_signal(int number)
{
	if (number != SIGCHLD)
		told_to_stop = 1;
}

/* Signals are held back except while the program waits; WAITING_MASK is what holds then. */
static void catch_signals(sigset_t *waiting_mask)
{
	const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t held;

	sigemptyset(&held);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		sigaddset(&held, numbers[i]);
		sigaction(numbers[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &held, waiting_mask);
	signal(SIGPIPE, SIG_IGN);
}

static int open_listener(void)
{
	struct error error = ERROR_NONE;
	struct view port = view_text(settings.near);
	uint64_t number;
	char *address = number_parse(port, UINT16_MAX, &number) ? mem_format("127.0.0.1:%s", settings.near)
								: mem_string(settings.near);
	struct buf name;
	size_t count = 0;
	int fd;

	if (listen_open(address, 0600, &fd, 1, &count, &error) != OUTCOME_DONE)
		errx(error.code, "%s", error.text);
	limit_socket(fd, FORTH);
	buf_init(&name, COPY_CHUNK);
	listen_name(fd, &name);
	printf("%s\n", buf_string(&name));
	fflush(stdout);
	buf_release(&name);
	free(address);
	return fd;
}

static void begin_at_standard_input(void)
{
	limit_pipe(STDIN_FILENO, FORTH);
	limit_socket(STDIN_FILENO, FORTH);
	set_nonblocking(STDIN_FILENO);
	set_nonblocking(STDOUT_FILENO);
	connection_begin(STDIN_FILENO, STDOUT_FILENO);
}

static void open_files(void)
{
	if (settings.report != NULL) {
		report_fd = open(settings.report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (report_fd < 0)
			err(EX_CANTCREAT, "%s", settings.report);
	}
	if (settings.log != NULL) {
		log_file = fopen(settings.log, "ae");
		if (log_file == NULL)
			err(EX_CANTCREAT, "%s", settings.log);
	}
}

int main(int argc, char **argv)
{
	bool is_pipe;
	int listener = -1;
	sigset_t waiting_mask;

	settings_parse(&settings, argc, argv);
	is_pipe = strcmp(settings.near, "-") == 0;
	/* Waking up as exactly as the system can. */
	(void)prctl(PR_SET_TIMERSLACK, 1UL);
	catch_signals(&waiting_mask);
	open_files();
	if (is_pipe)
		begin_at_standard_input();
	else
		listener = open_listener();
	while (!told_to_stop && (!is_pipe || connection_count > 0 || child_count > 0))
		work(listener, &waiting_mask);
	for (size_t i = 0; i < child_count; i++)
		kill(children[i], SIGTERM);
	return is_pipe ? status : 0;
}
