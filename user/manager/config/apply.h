/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_APPLY_H
#define IPN_MANAGER_APPLY_H

struct config;
struct errtext;
struct fabric;

/*
 * Makes what the configuration says and is not there. file: its name, for messages. On failure
 * nothing of it is left.
 */
int config_apply(struct fabric *f, struct config *config, const char *file, struct errtext *e);

#endif
