/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_REVOKE_H
#define IPN_MANAGER_REVOKE_H

struct control;
struct event;

/* From now on it is seen when the mode, owner or ACL of a network's path changes. */
int revoke_begin(struct control *c);
void revoke_end(struct control *c);
/* Networks come and go. */
void revoke_event(struct control *c, const struct event *event);

#endif
