/*
 * The other programs of this installation.
 */
#ifndef LIB_PROGRAM_H
#define LIB_PROGRAM_H

/* The path of the program NAME beside the one that is running, else NAME itself, for PATH to find; free() it. */
char *program_path(const char *name);

#endif
