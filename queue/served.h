/*
 * Signs of life of programs that must come again and again for mail to move: when one was last there, by the age clock, in
 * state/served-NAME. NAME is a hop (`smtp`, `lmtp`), or `fetch-BOX`.
 */
#ifndef QUEUE_SERVED_H
#define QUEUE_SERVED_H

#include "queue/queue.h"

/* The age at which somebody was there last; false: never, as far as is known. */
bool served_look(const struct queue *q, const char *name, const struct age *age, uint64_t *when);
/* Somebody is there. Not waited for; false: it could not be noted, which is no reason to stop. */
bool served_note(const struct queue *q, const char *name, uint64_t now);

#endif
