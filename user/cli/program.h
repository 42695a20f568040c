/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A program file: can a library be preloaded into it? */
#ifndef IPN_CLI_PROGRAM_H
#define IPN_CLI_PROGRAM_H

/*
 * Looks at the file that execvp(3) would run for this name: by PATH, and through the interpreters
 * of scripts. Returns what it is that no library of ours can be loaded into, as the words behind
 * its name in a message ("is statically linked"), or NULL: it can, or the file cannot be looked at.
 */
const char *program_refuses_preload(const char *name);

#endif
