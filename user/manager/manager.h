/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manager: one process, one thread, one event loop. It decides who may join and keeps the maps
 * true. It is not on the data path, and the fabric does not need it to go on: everything it knows
 * that must outlive it stands in pinned maps, and the next manager adopts it from there.
 */
#ifndef IPN_MANAGER_H
#define IPN_MANAGER_H

#include <stdbool.h>

#ifndef IPN_VERSION /* the Makefile's */
#define IPN_VERSION "unknown"
#endif

struct manager_opts {
	const char *run_dir; /* never NULL */
	const char *bpffs;   /* never NULL */
	const char *netns;   /* NULL: the one we are in */
	const char *config;  /* NULL: none */
	bool foreground;
};

/* `up`. Prints its own errors, one line each. Returns the exit status. */
int manager_run(const struct manager_opts *opts);

/* `down` when no manager runs: removes what a dead one left. Returns the exit status. */
int manager_down_offline(const struct manager_opts *opts);

#endif
