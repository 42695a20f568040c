// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The manager hears a process that acts as a user: that user may have taken it over (ptrace), so
 * its answers are anything. The identity of a descriptor that an fdstore kept is read here, too.
 */
#include "fuzz.h"

#include <errno.h>
#include <spawn.h>

static int spawn_not(void *pid)
{
	(void)pid;
	return EAGAIN;
}

#define posix_spawn(pid, path, files, attr, argv, env) ((void)(argv), spawn_not(pid))
#include "../../user/manager/access/asuser.c" // NOLINT(bugprone-suspicious-include)

static unsigned int told, started, seen;

static void on_told(void *arg, struct asuser_result *result)
{
	struct asuser *as = arg;
	struct asuser_job job = { .op = ASUSER_CHECK, .fd = -1, .path = "/x" };

	told++;
	seen += (unsigned int)result->status; /* it is read */
	/* whoever hears of one may start the next */
	if (told % 3 == 0 && started < 24 && as->agents) {
		started++;
		CHECK(asuser_start(as, as->agents->id, &job, on_told, as));
	}
}

static struct agent *agent_make(struct asuser *as, struct asuser_id *id, int fd)
{
	struct agent *a = calloc(1, sizeof(*a));

	CHECK(a);
	a->as = as;
	a->id = asuser_id_ref(id);
	a->fd = fd;
	a->pidfd = -1;
	a->last = &a->first;
	a->since = clock_us();
	as->agents = a;
	return a;
}

static void identity(struct input *in)
{
	int fds[ASUSER_ID_FDS] = { memfd_create("id", MFD_CLOEXEC), -1, -1 };
	struct asuser_id *id;
	uint8_t which = take8(in);

	CHECK(fds[0] >= 0 && write(fds[0], in->at, in->left) == (ssize_t)in->left);
	for (int i = 1; i < ASUSER_ID_FDS; i++)
		fds[i] = which & i ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0) : -1;
	if (!asuser_id_from(fds, &id))
		asuser_id_unref(id);
	for (int i = 0; i < ASUSER_ID_FDS; i++)
		CHECK(fds[i] == -1);
}

static void answers(struct input *in)
{
	struct asuser_job job = { .op = ASUSER_CHECK, .path = "/x" };
	struct asuser *as;
	struct asuser_id *id;
	struct agent *a;
	int ends[2];

	CHECK(!asuser_new(&as) && !asuser_id_self(&id));
	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
	a = agent_make(as, id, ends[0]);
	told = started = 0;
	for (unsigned int n = take8(in) % 12; started < n; started++) {
		job.fd = started % 3 ? -1 : STDERR_FILENO;
		CHECK(asuser_start(as, id, &job, on_told, as));
	}
	while (in->left && as->agents == a && !a->dying) {
		uint8_t what = take8(in);
		struct asuser_reply reply = { .status = -(what & 3) };
		size_t len = what & 4   ? sizeof(struct asuser_hello)
			     : what & 8 ? take8(in) % (sizeof(reply) + 9)
					: sizeof(reply);
		char bytes[sizeof(reply) + 8] = { 0 };

		memcpy(bytes, &reply, sizeof(reply));
		if (what & 16)
			take(in, bytes, sizeof(bytes));
		send_with_fds(ends[1], bytes, len, what >> 5);
		agent_work(a);
	}
	close(ends[1]);
	asuser_settle(as, 1000);
	CHECK(told == started); /* each is told once, whatever was answered */
	asuser_free(as);
	asuser_id_unref(id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	int before = open_fds();

	if (take8(&in) & 1)
		identity(&in);
	else
		answers(&in);
	CHECK(open_fds() == before);
	return 0;
}
