/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A manager on the stub kernel, in this process: its objects, its control socket in a temporary run
 * directory, and its loop, which the test runs step by step. And the other ends of its sessions.
 */
#ifndef IPN_TESTS_CONTROL_RIG_H
#define IPN_TESTS_CONTROL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <ipn/af_ipn.h>
#include <ipn/control.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/control/session.h"
#include "manager/core/objects.h"
#include "stub.h"

struct rig {
	char dir[64]; /* of the run directory, the pins, and the paths of networks */
	struct fabric f;
	struct control *control;
	int run_fd, watch_fd, spare;
	bool up, down;
	bool clsact;     /* the hook of devices */
	bool no_fdstore; /* the process is not started */
	unsigned int tasks;
	struct errtext e;
};

/* Makes the directory and an empty kernel. */
void rig_new(struct rig *r);
/* Ends the manager, if there is one, with all that it made. */
void rig_free(struct rig *r);
/* A manager starts: 0 or -errno. It takes over what stands in the kernel. */
int rig_start(struct rig *r);
/* It ends, and the fabric stays. */
void rig_stop(struct rig *r);
/* Runs the loop until there is nothing to do. */
void rig_run(struct rig *r);
/* The same until `done`, at most some seconds. */
void rig_run_until(struct rig *r, bool (*done)(void *arg), void *arg);
/* All descriptors that clients sent are closed. */
void rig_settle(struct rig *r);
/* The threads that there are now are not the manager's. */
void rig_threads(struct rig *r);
/* Do threads of the manager work at something? */
bool rig_busy(const struct rig *r);
/* Descriptors of this process that are not the stub's. */
unsigned int rig_fds(void);

/* The path DIR/NAME; until the next few calls. */
const char *rig_path(const struct rig *r, const char *name);
/* A socket inode there, of this mode. Returns an O_PATH descriptor. */
int rig_inode(const struct rig *r, const char *name, mode_t mode);
/* A network there, made by a call of the core. info: zeros become defaults. */
struct net *rig_net(struct rig *r, const char *name, const struct ipn_net_info *info);

/* --- what must be true, always (check.c) --- */

/* All maps, interfaces and pins agree with the manager's objects. */
void rig_check(const struct rig *r);
/* So does what a user is charged for. */
void rig_check_quota(const struct rig *r, __u32 uid);
/* The entry of a shared map, which must be there. */
void rig_map(const char *name, const void *key, void *value);
const struct node *rig_node(const struct rig *r, __u32 ifindex);

/* --- sessions --- */

struct reply {
	struct ipn_ctl_hdr hdr;
	__u8 body[IPN_CTL_MAX_PACKET];
	size_t len; /* of the body */
	int fds[IPN_CTL_MAX_FDS];
	unsigned int nfds;
};

/* A connection; the manager has accepted it. */
int ctl_open(struct rig *r);
/* Any packet. 0 or -errno. */
int ctl_send(int s, const void *data, size_t len, const int *fds, unsigned int nfds);
/* One packet that is there, without waiting: 0; -EAGAIN none; -EPIPE the end. */
int ctl_recv(int s, struct reply *reply);
void reply_close(struct reply *reply);
/* A request, and its answer: 0 or -errno; -EPIPE: the session has ended. */
int ctl_call(struct rig *r, int s, __u16 type, const void *body, size_t len, const int *fds,
	     unsigned int nfds, struct reply *reply);
/* The end of a session. */
void ctl_close(struct rig *r, int s);

#endif
