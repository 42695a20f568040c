/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_ASYNC_CLOSE_H
#define IPN_MANAGER_ASYNC_CLOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct user;
struct users;
struct works;

#define ASYNC_CLOSE_USER 16 /* descriptors of one user under way, and no more are taken */

struct async_close;
int async_close_new(struct async_close **out, struct works *works, struct users *users);

/*
 * Closes a descriptor of a client where that holds nobody up. c NULL: at once, as there is nobody
 * else who could be held up.
 */
void async_close(struct async_close *c, struct user *u, int fd);
/*
 * A socket of somebody who is no session: closes it, *fd becomes -1; recv() that closes the
 * descriptors that come along.
 */
void stranger_close(struct async_close *c, int *fd);
ssize_t stranger_recv(struct async_close *c, int fd, void *buf, size_t size);
/* So many descriptors of that user cannot be closed that no more are taken. */
bool user_stuck(const struct user *u);

#endif
