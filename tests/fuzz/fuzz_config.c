/*
 * A configuration from anywhere. Laws: nothing crashes or leaks; what fails names at least one mistake, the
 * first of them in the error, and leaves nothing; what loads has a host, and neighbours for its routes.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/text.h"
#include "queue/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[64];
static char path[96];

static void demand(bool law)
{
	if (!law)
		abort();
}

static void tidy(void)
{
	unlink(path);
	rmdir(directory);
}

/* One directory for the process, in memory where there is such a place. */
static void begin(void)
{
	snprintf(directory, sizeof directory, "/dev/shm/packetboat-fuzz-XXXXXX");
	if (mkdtemp(directory) == NULL) {
		snprintf(directory, sizeof directory, "/tmp/packetboat-fuzz-XXXXXX");
		demand(mkdtemp(directory) != NULL);
	}
	snprintf(path, sizeof path, "%s/packetboat.conf", directory);
	atexit(tidy);
}

static void write_out(const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	demand(fd >= 0);
	demand(write(fd, data, size) == (ssize_t)size);
	close(fd);
}

struct heard {
	size_t count;
	char first[sizeof((struct error *)0)->text];
};

static void hear(void *context, const char *sentence)
{
	struct heard *heard = context;

	demand(text_starts(sentence, directory) && utf8_valid(view_text(sentence)) &&
	       !text_has_control(view_text(sentence)));
	if (heard->count++ == 0)
		snprintf(heard->first, sizeof heard->first, "%s", sentence);
}

static void held_good(const struct config *c)
{
	demand(c->host != NULL && host_name_valid(c->host) && config_is_local(c, view_text(c->host)));
	demand(c->retry_min <= c->retry_max && c->hops >= 1 && c->hops <= LIMIT_HOPS);
	for (size_t i = 0; i < c->neighbour_count; i++)
		demand(
		    config_neighbour(c, c->neighbours[i].name) == &c->neighbours[i] && c->neighbours[i].key != NULL);
	for (size_t i = 0; i < c->route_count; i++)
		demand(c->routes[i].via != VIA_NEIGHBOUR || config_neighbour(c, c->routes[i].target) != NULL);
	for (size_t i = 0; i < c->alias_count; i++)
		demand(c->aliases[i].targets.count > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = ERROR_NONE;
	struct heard heard = {0};
	struct config c;

	if (directory[0] == '\0')
		begin();
	write_out(data, size);
	if (config_load(&c, path, hear, &heard, &err) == OUTCOME_DONE) {
		demand(heard.count == 0);
		held_good(&c);
	} else {
		demand(err.code == EX_CONFIG && heard.count > 0 && strcmp(err.text, heard.first) == 0);
		demand(c.host == NULL && c.neighbour_count == 0);
	}
	config_release(&c);
	return 0;
}
