/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two locks keep managers apart: RUN_DIR/lock, and the fabric's directory on the bpffs, so that
 * neither two managers of one run directory nor two fabrics on one set of pins can be. Both are
 * held by descriptor, so they go with the process however it ends. The lock file says who holds it,
 * and which directories the fabric made, for the one that will remove them.
 */
#ifndef IPN_MANAGER_LOCK_H
#define IPN_MANAGER_LOCK_H

#include <stdbool.h>

struct errtext;

struct lock {
	int run_fd;              /* the run directory */
	int lock_fd;             /* in it */
	int bpf_lock_fd;         /* directory on the bpffs, locked */
	bool run_locked, locked; /* the first lock is ours; both are */
	char holder[32];         /* pid of who held the first before us; empty: nobody */
	bool made_run_dir, made_bpffs_dir;
};

void lock_init(struct lock *l);
/* Makes the run directory if it is not there, and locks it. -EBUSY: another manager runs. */
int lock_run_dir(struct lock *l, const char *dir, struct errtext *e);
/* The same for the fabric's directory on the bpffs. */
int lock_bpffs(struct lock *l, const char *bpffs, struct errtext *e);
/* Says in the lock file who holds it. */
int lock_write(struct lock *l);
/* Removes the socket, the lock file, and the run directory if the fabric made it. */
void lock_remove_run_files(struct lock *l, const char *run_dir);
void lock_close(struct lock *l);

#endif
