/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_MONITOR_H
#define IPN_MANAGER_MONITOR_H

#include <linux/types.h>

struct control;
struct event;
struct policy;

/* Something happened: tells the monitors that may see the network. */
void monitor_event(struct control *c, const struct event *event);
/* A policy was loaded or unloaded: IPN_WATCH_POLICY, IPN_WATCH_POLICY_GONE. */
void monitor_policy(struct control *c, const struct policy *p, __u32 what);
/* A monitor came: from now on overruns are looked for, while there is one. */
int monitor_begin(struct control *c);

#endif
