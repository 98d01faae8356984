/*
 * Calls that this project does not use, each because a safer one stands beside it.
 * Included on every command line (see Makefile), after the system headers below were read.
 */
#ifndef LIB_BANNED_H
#define LIB_BANNED_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The C library's checked variants can be macros, which clang will not poison. */
#undef sprintf
#undef vsprintf

#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol atoll gmtime localtime ctime asctime
#pragma GCC poison rand srand tmpnam mktemp system popen gets strncpy strncat

#endif
