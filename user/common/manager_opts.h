/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the manager is started: what the command line hands to whoever runs it (user/main.c). */
#ifndef IPN_COMMON_MANAGER_OPTS_H
#define IPN_COMMON_MANAGER_OPTS_H

#include <stdbool.h>

struct manager_opts {
	const char *run_dir; /* never NULL */
	const char *bpffs;   /* never NULL */
	const char *netns;   /* NULL: the one we are in */
	const char *config;  /* NULL: none */
	bool foreground;
};

#endif
