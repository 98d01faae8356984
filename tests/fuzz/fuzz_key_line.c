/* A key line from anywhere: what is accepted prints as itself (but for case and surrounding space). */
#include "lib/alloc.h"
#include "lib/text.h"
#include "spool/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = mem_copy(data, size);
	struct error err = ERROR_NONE;
	struct public_keys keys;
	struct public_keys again;
	char printed[KEY_LINE_TEXT];
	char fingerprint[KEY_FINGERPRINT_TEXT];

	if (key_line_parse(line, &keys, &err) == OUTCOME_DONE) {
		key_line_print(&keys, printed);
		text_lower_all(line);
		if (strstr(line, printed) == NULL || key_line_parse(printed, &again, &err) != OUTCOME_DONE ||
		    memcmp(&keys, &again, sizeof keys) != 0)
			abort();
		key_fingerprint(&keys, fingerprint);
	} else if (err.text[0] == '\0') {
		abort();
	}
	free(line);
	return 0;
}
