// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The process that acts as a user: jobs with any numbers, texts without an end, and with and
 * without a descriptor. Paths lead into a directory of its own, which a run leaves empty.
 */
#include "fuzz.h"

#include <ftw.h>

#include "common/util.h"
#include "manager/access/asuser_proto.h"

static int served;
#undef ASUSER_FD
#define ASUSER_FD served
#include "../../user/manager/access/asuser_child.c" // NOLINT(bugprone-suspicious-include)

#define JOBS 8

static char top[32];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level ? remove(path) : 0;
}

static void clear(void)
{
	nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void top_end(void)
{
	clear();
	rmdir(top);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	snprintf(top, sizeof(top), "/dev/shm/fuzz.XXXXXX");
	CHECK(mkdtemp(top));
	atexit(top_end);
	return 0;
}

/* Below `top`, of few names; the manager ends it always, and cuts it off. */
static void path_make(struct input *in, char path[IPN_PATH_MAX])
{
	static const char letters[] = "abc/..%";
	size_t at = (size_t)snprintf(path, IPN_PATH_MAX, "%s/", top), len = take8(in);

	for (size_t i = 0; i < len % 16 && at < IPN_PATH_MAX - 1; i++) {
		path[at] = letters[take8(in) % (sizeof(letters) - 1)];
		if (path[at] == '.' && path[at - 1] == '.')
			path[at] = 'd';
		at++;
	}
	if (len > 240)
		while (at < IPN_PATH_MAX - 1)
			path[at++] = 'x';
	path[at] = '\0';
}

static void job_make(struct input *in, struct asuser_packet *q)
{
	memset(q, 0, sizeof(*q));
	q->op = take8(in) % 13;
	q->mode = take8(in) % 8 * 0111;
	q->ino = take8(in) & 1;
	path_make(in, q->path);
	util_copy(q->file, sizeof(q->file), "ctl");
	if (take8(in) & 0x80)
		take(in, q->file, sizeof(q->file) - 1);
	for (char *c = q->file; *c; c++)
		if (*c == '/' || *c == '.')
			*c = '_';
}

static void blob(struct input *in)
{
	struct asuser_hello hello = { 0 };
	struct stat st;
	int fds[ASUSER_ID_FDS], ends[2], fd = memfd_create("blob", MFD_CLOEXEC);
	const struct asuser_blob *b = NULL;

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) && fd >= 0);
	CHECK(write(fd, in->at, in->left) == (ssize_t)in->left);
	served = ends[0];
	send_with_fds(ends[1], &hello, in->left % 2 ? sizeof(hello) : 1, in->left % 7);
	close(ends[1]);
	if (!receive(&hello, sizeof(hello), fds, ASUSER_ID_FDS) && !fstat(fd, &st) &&
	    !blob_map(fd, &b) && b)
		CHECK(b->ngroups <= in->left);
	if (b)
		munmap((void *)b, (size_t)st.st_size);
	for (int i = 0; i < ASUSER_ID_FDS; i++)
		util_close_fd(&fds[i]);
	close(ends[0]);
	close(fd);
}

static void jobs(struct input *in)
{
	int ends[2];

	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
	served = ends[0];
	for (int i = 0; in->left && i < JOBS; i++) {
		struct asuser_packet q;
		struct asuser_reply a;
		uint8_t odd;

		job_make(in, &q);
		odd = take8(in);
		send_with_fds(ends[1], &q, odd & 0xf0 ? sizeof(q) : odd, odd % 3);
		if (job_do())
			break;
		CHECK(recv(ends[1], &a, sizeof(a), MSG_DONTWAIT) == sizeof(a));
		CHECK(a.status <= 0);
	}
	close(ends[0]);
	close(ends[1]);
	clear();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	int before = open_fds();

	umask(0);
	if (take8(&in) & 1)
		blob(&in);
	else
		jobs(&in);
	CHECK(open_fds() == before);
	return 0;
}
