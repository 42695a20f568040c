/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of the stub have in common. */
#ifndef IPN_TESTS_CONTROL_STUB_KERNEL_H
#define IPN_TESTS_CONTROL_STUB_KERNEL_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../stub.h"
#include "common/hash.h"
#include "common/util.h"

enum obj_kind { OBJ_MAP = 1, OBJ_PROG, OBJ_LINK };

struct entry {
	struct entry *next;
	UT_hash_handle hh;
	__u8 key[]; /* and the value */
};

struct obj {
	UT_hash_handle by_ino, by_id;
	enum obj_kind kind;
	__u64 ino; /* of its descriptors */
	__u32 id;
	int fd; /* the stub's own */
	char name[32];
	bool shared; /* one of the fabric's: it stays */
	bool pinned;
	bool held;  /* by a descriptor that is not the stub's: objs_collect */
	__u32 type; /* enum bpf_map_type, bpf_prog_type */

	/* maps */
	__u32 key_size, value_size, max;
	__u8 *mem; /* values of arrays, mapped when they are looked at */
	size_t mem_size;
	struct entry *entries; /* hashes */
	struct obj **inner;    /* arrays of maps, of programs; which of them is set */
	__u64 *sockets;        /* maps of sockets: their inodes, or 0 where nothing is set */
	unsigned int used;     /* so many of these */
	unsigned int refs;     /* arrays of maps that it is in */
	/* programs */
	unsigned int runs;
	/* links */
	__u32 ifindex, attach;
};

struct stub {
	struct obj *by_ino, *by_id;
	struct obj *names[128]; /* shared maps and programs */
	unsigned int nnames;
	__u32 next_id, next_ifindex;
	unsigned long calls, changes;
	char last[48];

	char fail_call[48];
	unsigned long fail_n;
	int fail_err;
	bool failed;

	bool dying, at_once, dead;
	unsigned long left; /* changes that have an effect still */
	struct saved *saved;
	bool stored;
	__u64 sum;

	int policy_result, load_err;
	unsigned int load_ms;
	char load_words[128];
	__u32 sock_uid;

	struct stub_if *ifs;
	int watch; /* eventfd; -1: nobody watches */
	struct news *news, **news_last;
	bool news_lost;
	struct xsk_life *xsks;
};
extern struct stub stub;

/* Begins a call: 0, or the errno that it fails with. */
int stub_enter(const char *call, bool change);
/* Ends a call that changes something. */
void stub_leave(void);
/* The way of libbpf: -errno, and errno. */
int stub_error(int err);

struct obj *obj_new(enum obj_kind kind, const char *name, __u32 type);
void obj_free(struct obj *o);
struct obj *obj_of_fd(int fd, enum obj_kind kind);
struct obj *obj_named(const char *name, enum obj_kind kind);
int obj_fd(const struct obj *o); /* another descriptor of it */
struct obj *map_new(enum bpf_map_type type, const char *name, __u32 key, __u32 value, __u32 max);
void map_clear(struct obj *m);
__u8 *map_mem(struct obj *m);
/* Frees maps that nobody has any more. */
void objs_collect(void);
/* Sockets in maps that nobody holds any more. */
void maps_reap(void);
/* Links of interfaces that are gone; of this one. */
void links_end(__u32 ifindex);

/* Calls of files of pins, by state.c. */
int stub_unlink(const char *path);
int stub_mkdir(const char *path, mode_t mode);
int stub_rmdir(const char *path);
int stub_rename(const char *from, const char *to);

void ifs_clear(void);

/* Descriptors that slow.c keeps. */
unsigned int slow_fds(void);

/* Descriptors of helpers that are threads (asuser.c); what such a thread does. */
unsigned int helper_fds(void);
void asuser_serve(int fd);

/* AF_XDP sockets: pipes, as taps are. Has somebody the one of this inode? */
bool xsk_alive(__u64 ino);
unsigned int xsk_fds(void);
void xsks_clear(void);

#endif
