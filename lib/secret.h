/*
 * A password that lies in a file of its own, so that the configuration may be read by more people than the password.
 */
#ifndef LIB_SECRET_H
#define LIB_SECRET_H

#include "lib/error.h"

/*
 * The first line of the file at the absolute PATH, into *SECRET (secret_free). A file that others may read is EX_CONFIG, with advice;
 * so is one whose first line is empty.
 */
enum outcome secret_read(const char *path, char **secret, struct error *err);
/* Wipes and frees; null-safe. */
void secret_free(char *secret);

#endif
