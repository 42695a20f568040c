// SPDX-License-Identifier: GPL-2.0-or-later
/* Maps, and the descriptors of all there is. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kernel.h"

#define PAGE 4096UL
#define COLLECT 256 /* maps, and those that nobody has are looked for */

/* --- objects --- */

static struct obj *map_add(const struct obj *shape, int fd);

/* fd: its memory (taken). The name of that says all that another process has to know. */
static struct obj *obj_add(const struct obj *shape, int fd)
{
	struct obj *o = malloc(sizeof(*o));
	struct stat st;

	if (!o || fd < 0 || fstat(fd, &st))
		abort();
	*o = *shape;
	o->fd = fd;
	o->ino = st.st_ino;
	o->id = stub.next_id++;
	HASH_ADD(by_ino, stub.by_ino, ino, sizeof(o->ino), o);
	HASH_ADD(by_id, stub.by_id, id, sizeof(o->id), o);
	return o;
}

static struct obj *obj_make(const struct obj *shape)
{
	char name[128];

	snprintf(name, sizeof(name), "%d:%u:%u:%u:%u:%s", (int)shape->kind, shape->type,
		 shape->key_size, shape->value_size, shape->max, shape->name);
	return obj_add(shape, memfd_create(name, MFD_CLOEXEC));
}

struct obj *obj_new(enum obj_kind kind, const char *name, __u32 type)
{
	struct obj shape = { .kind = kind, .type = type };

	util_copy(shape.name, sizeof(shape.name), name);
	return obj_make(&shape);
}

void obj_free(struct obj *o)
{
	map_clear(o);
	HASH_DELETE(by_ino, stub.by_ino, o);
	HASH_DELETE(by_id, stub.by_id, o);
	if (o->mem)
		munmap(o->mem, o->mem_size);
	close(o->fd);
	free(o);
}

/* Made by another process (the one that loads a policy), which sent its descriptor. */
static struct obj *obj_foreign(int fd)
{
	struct obj shape = { 0 };
	char link[32], text[192];
	unsigned int kind;
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	if (sscanf(text, "/memfd:%u:%u:%u:%u:%u:%31[^ ]", &kind, &shape.type, &shape.key_size,
		   &shape.value_size, &shape.max, shape.name) != 6)
		return NULL;
	shape.kind = kind;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return kind == OBJ_MAP ? map_add(&shape, fd) : obj_add(&shape, fd);
}

struct obj *obj_of_fd(int fd, enum obj_kind kind)
{
	struct obj *o;
	struct stat st;
	__u64 ino;

	/* most calls are for these, by the stub's own descriptors */
	for (unsigned int i = 0; i < stub.nnames; i++)
		if (stub.names[i]->fd == fd)
			return stub.names[i]->kind == kind ? stub.names[i] : NULL;
	if (fstat(fd, &st))
		return NULL;
	ino = st.st_ino;
	HASH_FIND(by_ino, stub.by_ino, &ino, sizeof(ino), o);
	if (!o)
		o = obj_foreign(fd);
	return o && o->kind == kind ? o : NULL;
}

struct obj *obj_named(const char *name, enum obj_kind kind)
{
	for (unsigned int i = 0; i < stub.nnames; i++)
		if (stub.names[i]->kind == kind && !strcmp(stub.names[i]->name, name))
			return stub.names[i];
	return NULL;
}

int obj_fd(const struct obj *o)
{
	int fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? stub_error(errno) : fd;
}

/* Marks what somebody else has a descriptor of. */
static void mark_held(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	struct obj *o, *tmp;
	struct stat st;

	HASH_ITER(by_id, stub.by_id, o, tmp)
		o->held = false;
	while (d && (e = readdir(d))) {
		int fd = atoi(e->d_name);
		__u64 ino;

		if (e->d_name[0] == '.' || fstat(fd, &st))
			continue;
		ino = st.st_ino;
		HASH_FIND(by_ino, stub.by_ino, &ino, sizeof(ino), o);
		if (o && fd != o->fd)
			o->held = true;
	}
	if (d)
		closedir(d);
}

void objs_collect(void)
{
	struct obj *o, *tmp;

	mark_held();
	HASH_ITER(by_id, stub.by_id, o, tmp) {
		if (!o->held && !o->refs && !o->shared && !o->pinned)
			obj_free(o);
	}
}

unsigned int stub_maps_made(void)
{
	struct obj *o, *tmp;
	unsigned int n = 0;

	objs_collect();
	HASH_ITER(by_id, stub.by_id, o, tmp)
		n += o->kind == OBJ_MAP && !o->shared;
	return n;
}

unsigned int stub_fds(void)
{
	unsigned int n = 0;

	stub_reap();
	objs_collect();
	n += HASH_CNT(by_id, stub.by_id) + xsk_fds() + slow_fds() + helper_fds();
	for (const struct stub_if *i = stub.ifs; i; i = i->next)
		n += i->life >= 0;
	return n;
}

/* --- maps --- */

static bool is_hash(const struct obj *m)
{
	return m->type == BPF_MAP_TYPE_HASH || m->type == BPF_MAP_TYPE_LRU_HASH ||
	       m->type == BPF_MAP_TYPE_LPM_TRIE || m->type == BPF_MAP_TYPE_PERCPU_HASH;
}

static bool of_objs(const struct obj *m)
{
	return m->type == BPF_MAP_TYPE_ARRAY_OF_MAPS || m->type == BPF_MAP_TYPE_PROG_ARRAY;
}

static bool of_sockets(const struct obj *m)
{
	return m->type == BPF_MAP_TYPE_SOCKMAP || m->type == BPF_MAP_TYPE_XSKMAP;
}

static size_t value_bytes(const struct obj *m)
{
	return m->type == BPF_MAP_TYPE_PERCPU_ARRAY ? (size_t)m->value_size * STUB_CPUS
						    : m->value_size;
}

static void map_room(struct obj *m)
{
	if (of_objs(m))
		m->inner = calloc(m->max, sizeof(struct obj *));
	if (of_sockets(m))
		m->sockets = calloc(m->max, sizeof(__u64));
	m->mem_size = m->type == BPF_MAP_TYPE_RINGBUF ? m->max + 2 * PAGE : value_bytes(m) * m->max;
	m->mem_size = (m->mem_size + PAGE - 1) & ~(PAGE - 1);
	if (!is_hash(m) && ftruncate(m->fd, (off_t)m->mem_size))
		abort();
}

static struct obj *map_add(const struct obj *shape, int fd)
{
	struct obj *m = obj_add(shape, fd);

	map_room(m);
	return m;
}

struct obj *map_new(enum bpf_map_type type, const char *name, __u32 key, __u32 value, __u32 max)
{
	struct obj shape = {
		.kind = OBJ_MAP, .type = type, .key_size = key, .value_size = value, .max = max
	};
	struct obj *m;

	util_copy(shape.name, sizeof(shape.name), name);
	m = obj_make(&shape);
	map_room(m);
	return m;
}

__u8 *map_mem(struct obj *m)
{
	if (!m->mem) {
		m->mem = mmap(NULL, m->mem_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
		if (m->mem == MAP_FAILED)
			abort();
	}
	return m->mem;
}

static void inner_set(struct obj *m, __u32 at, struct obj *to)
{
	if (to)
		to->refs++;
	if (m->inner[at])
		m->inner[at]->refs--;
	m->inner[at] = to;
}

static void socket_set(struct obj *m, __u32 at, __u64 ino)
{
	m->used += !!ino;
	m->used -= !!m->sockets[at];
	m->sockets[at] = ino;
}

void map_clear(struct obj *m)
{
	struct entry *e, *tmp;

	HASH_ITER(hh, m->entries, e, tmp) {
		HASH_DEL(m->entries, e);
		free(e);
	}
	for (__u32 i = 0; m->inner && i < m->max; i++)
		inner_set(m, i, NULL);
	free(m->inner);
	free(m->sockets);
	m->inner = NULL;
	m->sockets = NULL;
}

/* Has any process the unix socket of this inode? */
static bool unix_alive(__u64 ino)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char line[512];
	unsigned long long n;
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%*s %*s %*s %*s %*s %*s %llu", &n) == 1 && n == ino;
	if (f)
		fclose(f);
	return found;
}

/* Nobody has the socket any more: the kernel takes it out of its maps. */
void maps_reap(void)
{
	struct obj *xsks = obj_named("ipn_xsks", OBJ_MAP), *socks = obj_named("ipn_socks", OBJ_MAP);

	for (__u32 i = 0; xsks && xsks->used && i < xsks->max; i++) {
		if (xsks->sockets[i] && !xsk_alive(xsks->sockets[i]))
			socket_set(xsks, i, 0);
	}
	for (__u32 i = 0; socks && socks->used && i < socks->max; i++) {
		if (socks->sockets[i] && !unix_alive(socks->sockets[i]))
			socket_set(socks, i, 0);
	}
}

void stub_socks_exit(void)
{
	const struct obj *socks = obj_named("ipn_socks", OBJ_MAP);
	struct stat st;
	int fd;

	for (__u32 i = 0; socks && socks->used && i < socks->max; i++) {
		for (fd = 3; socks->sockets[i] && fd < 1024; fd++)
			if (!fstat(fd, &st) && st.st_ino == socks->sockets[i])
				close(fd);
	}
}

int stub_map(const char *name)
{
	const struct obj *m = obj_named(name, OBJ_MAP);

	return m ? m->fd : -1;
}

unsigned int stub_count(const char *map)
{
	const struct obj *m = obj_named(map, OBJ_MAP);
	unsigned int n = m ? HASH_COUNT(m->entries) : 0;

	for (__u32 i = 0; m && m->inner && i < m->max; i++)
		n += m->inner[i] != NULL;
	for (__u32 i = 0; m && m->sockets && i < m->max; i++)
		n += m->sockets[i] != 0;
	return n;
}

/* --- the calls --- */

int bpf_map_create(enum bpf_map_type type, const char *name, __u32 key, __u32 value, __u32 max,
		   const struct bpf_map_create_opts *opts)
{
	int err = stub_enter("map_create", false); /* it goes with its descriptor */

	(void)opts;
	if (stub.next_id % COLLECT == 0)
		objs_collect();
	return err ? stub_error(err) : obj_fd(map_new(type, name, key, value, max));
}

int bpf_map_freeze(int fd)
{
	int err = stub_enter("map_freeze", false);

	if (!err && !obj_of_fd(fd, OBJ_MAP))
		err = EBADF;
	return err ? stub_error(err) : 0;
}

static struct entry *hash_find(struct obj *m, const void *key)
{
	struct entry *e;

	HASH_FIND(hh, m->entries, key, m->key_size, e);
	return e;
}

static bool prefix_holds(const struct entry *e, const __u8 *key, __u32 *len)
{
	__u32 want;

	memcpy(len, e->key, sizeof(*len));
	memcpy(&want, key, sizeof(want));
	if (*len > want || memcmp(e->key + sizeof(want), key + sizeof(want), *len / 8) != 0)
		return false;
	return !(*len % 8) || !((e->key[sizeof(want) + *len / 8] ^ key[sizeof(want) + *len / 8]) >>
				(8 - *len % 8));
}

/* The longest prefix that the key is in. */
static struct entry *prefix_find(struct obj *m, const void *key)
{
	struct entry *best = NULL, *e, *tmp;
	__u32 len, best_len = 0;

	HASH_ITER(hh, m->entries, e, tmp) {
		if (!prefix_holds(e, key, &len) || (best && len < best_len))
			continue;
		best = e;
		best_len = len;
	}
	return best;
}

static int index_of(const struct obj *m, const void *key, __u32 *at)
{
	memcpy(at, key, sizeof(*at));
	return *at < m->max ? 0 : ENOENT;
}

static int lookup(struct obj *m, const void *key, void *value)
{
	__u32 at;
	int err;

	if (is_hash(m)) {
		struct entry *e = m->type == BPF_MAP_TYPE_LPM_TRIE ? prefix_find(m, key)
								   : hash_find(m, key);

		if (e)
			memcpy(value, e->key + m->key_size, m->value_size);
		return e ? 0 : ENOENT;
	}
	err = index_of(m, key, &at);
	if (err)
		return err;
	if (of_objs(m)) {
		if (!m->inner[at])
			return ENOENT;
		memcpy(value, &m->inner[at]->id, sizeof(__u32));
	} else if (of_sockets(m)) {
		return m->sockets[at] ? EOPNOTSUPP : ENOENT;
	} else {
		memcpy(value, map_mem(m) + at * value_bytes(m), value_bytes(m));
	}
	return 0;
}

int bpf_map_lookup_elem(int fd, const void *key, void *value)
{
	struct obj *m = obj_of_fd(fd, OBJ_MAP);
	int err = stub_enter("map_lookup_elem", false);

	if (!err)
		err = m ? lookup(m, key, value) : EBADF;
	return err ? stub_error(err) : 0;
}

static int hash_update(struct obj *m, const void *key, const void *value, __u64 flags)
{
	struct entry *e = hash_find(m, key);

	if (e && flags == BPF_NOEXIST)
		return EEXIST;
	if (!e) {
		if (HASH_COUNT(m->entries) >= m->max)
			return E2BIG;
		e = calloc(1, sizeof(*e) + m->key_size + m->value_size);
		if (!e)
			abort();
		memcpy(e->key, key, m->key_size);
		HASH_ADD_KEYPTR(hh, m->entries, e->key, m->key_size, e);
	}
	memcpy(e->key + m->key_size, value, m->value_size);
	return 0;
}

static int update(struct obj *m, const void *key, const void *value, __u64 flags)
{
	struct obj *to;
	struct stat st;
	__u32 at;
	int fd, err;

	if (is_hash(m))
		return hash_update(m, key, value, flags);
	err = index_of(m, key, &at);
	if (err)
		return E2BIG;
	if (!of_objs(m) && !of_sockets(m)) {
		memcpy(map_mem(m) + at * value_bytes(m), value, value_bytes(m));
		return 0;
	}
	memcpy(&fd, value, sizeof(fd));
	if (of_sockets(m)) {
		if (fstat(fd, &st))
			return EBADF;
		socket_set(m, at, st.st_ino);
		return 0;
	}
	to = obj_of_fd(fd, m->type == BPF_MAP_TYPE_PROG_ARRAY ? OBJ_PROG : OBJ_MAP);
	if (!to)
		return EBADF;
	inner_set(m, at, to);
	return 0;
}

int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	struct obj *m = obj_of_fd(fd, OBJ_MAP);
	int err = stub_enter("map_update_elem", true);

	if (err)
		return stub_error(err);
	err = m ? update(m, key, value, flags) : EBADF;
	stub_leave();
	return err ? stub_error(err) : 0;
}

static int erase(struct obj *m, const void *key)
{
	struct entry *e;
	__u32 at;
	int err;

	if (is_hash(m)) {
		e = hash_find(m, key);
		if (!e)
			return ENOENT;
		HASH_DEL(m->entries, e);
		free(e);
		return 0;
	}
	err = index_of(m, key, &at);
	if (err)
		return err;
	if (of_sockets(m)) {
		err = m->sockets[at] ? 0 : ENOENT;
		socket_set(m, at, 0);
		return err;
	}
	if (!of_objs(m))
		return EINVAL;
	err = m->inner[at] ? 0 : ENOENT;
	inner_set(m, at, NULL);
	return err;
}

int bpf_map_delete_elem(int fd, const void *key)
{
	struct obj *m = obj_of_fd(fd, OBJ_MAP);
	int err = stub_enter("map_delete_elem", true);

	if (err)
		return stub_error(err);
	err = m ? erase(m, key) : EBADF;
	stub_leave();
	return err ? stub_error(err) : 0;
}

int bpf_map_get_next_key(int fd, const void *key, void *next)
{
	struct obj *m = obj_of_fd(fd, OBJ_MAP);
	int err = stub_enter("map_get_next_key", false);
	struct entry *e;

	if (!err && (!m || !is_hash(m)))
		err = EINVAL;
	if (err)
		return stub_error(err);
	e = key ? hash_find(m, key) : NULL;
	e = e ? e->hh.next : m->entries;
	if (!e)
		return stub_error(ENOENT);
	memcpy(next, e->key, m->key_size);
	return 0;
}

/* All of it is one batch. */
int bpf_map_lookup_batch(int fd, void *in, void *out, void *keys, void *values, __u32 *count,
			 const struct bpf_map_batch_opts *opts)
{
	struct obj *m = obj_of_fd(fd, OBJ_MAP);
	int err = stub_enter("map_lookup_batch", false);
	struct entry *e, *tmp;
	__u32 n = 0;

	(void)opts;
	(void)in;
	if (!err && !m)
		err = EBADF;
	if (!err && HASH_COUNT(m->entries) > *count)
		err = ENOSPC;
	if (err)
		return stub_error(err);
	HASH_ITER(hh, m->entries, e, tmp) {
		memcpy((__u8 *)keys + (size_t)n * m->key_size, e->key, m->key_size);
		memcpy((__u8 *)values + (size_t)n++ * m->value_size, e->key + m->key_size,
		       m->value_size);
	}
	*count = n;
	memset(out, 0, sizeof(__u32));
	return stub_error(ENOENT);
}

int bpf_map_update_batch(int fd, const void *keys, const void *values, __u32 *count,
			 const struct bpf_map_batch_opts *opts)
{
	struct obj *m = obj_of_fd(fd, OBJ_MAP);
	int err = stub_enter("map_update_batch", true);

	(void)opts;
	if (err)
		return stub_error(err);
	err = m ? 0 : EBADF;
	for (__u32 i = 0; !err && i < *count; i++)
		err = update(m, (const __u8 *)keys + (size_t)i * m->key_size,
			     (const __u8 *)values + (size_t)i * m->value_size, BPF_ANY);
	stub_leave();
	return err ? stub_error(err) : 0;
}

int bpf_map_get_fd_by_id(__u32 id)
{
	int err = stub_enter("map_get_fd_by_id", false);
	struct obj *m;

	if (err)
		return stub_error(err);
	HASH_FIND(by_id, stub.by_id, &id, sizeof(id), m);
	if (!m || m->kind != OBJ_MAP)
		return stub_error(ENOENT);
	if (!m->refs && !m->shared && !m->pinned) {
		objs_collect();
		HASH_FIND(by_id, stub.by_id, &id, sizeof(id), m);
	}
	return m ? obj_fd(m) : stub_error(ENOENT);
}
