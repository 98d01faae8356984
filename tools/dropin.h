/*
 * The files in conf.d beside packetboat.conf that commands write, one section each. A change is made only when the
 * whole configuration can be read with it: otherwise the directory is left as it was.
 */
#ifndef TOOLS_DROPIN_H
#define TOOLS_DROPIN_H

#include "tools/command.h"

/* Appends TEXT as a quoted value that is read back as it is. */
void dropin_quote(struct buf *out, const char *text);
/* "KIND-NAME.conf", with the letters of NAME that a file name should not have replaced. */
void dropin_name(const char *kind, const char *name, struct buf *out);
/* Was the section at WHERE ("file:line") written into the file NAME of conf.d? */
bool dropin_is(const struct tool *t, const char *where, const char *name);
/* Writes NAME and loads the configuration anew. EX_CANTCREAT when it stands already. */
enum outcome dropin_add(struct tool *t, const char *name, struct view text, struct error *err);
/* The same over what stands: no relay pass ever finds neither the old nor the new. */
enum outcome dropin_replace(struct tool *t, const char *name, struct view text, struct error *err);
/* Takes NAME away; whatever the rest of the configuration needs it for is EX_CONFIG. */
enum outcome dropin_remove(struct tool *t, const char *name, struct error *err);

#endif
