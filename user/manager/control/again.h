/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests that are looked at once more. */
#ifndef IPN_MANAGER_AGAIN_H
#define IPN_MANAGER_AGAIN_H

struct again;
struct packet;
struct session;

/*
 * The session waits for the log that its request wants (fabric.log_wanted), or for its next turn;
 * then it goes on with the same packet, whose descriptors are taken. Not 0: it cannot wait.
 */
int again_with_log(struct session *s, struct packet *p, const void *data);
int again_next_turn(struct session *s, struct packet *p, const void *data);
/* The session ends. */
void again_forget(struct again *again);

#endif
