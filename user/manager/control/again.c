// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A request whose log takes long, or which has much to remove, is put aside with its packet, and
 * nothing more is read from its session. When the log is there, or its user's turn has come again,
 * the request is looked at as if it came now: all is checked once more, so nothing that happened
 * meanwhile has to be thought of.
 */
#include "manager/control/again.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>

#include "common/util.h"
#include "manager/control/packet.h"
#include "manager/control/session.h"
#include "manager/core/logs.h"
#include "manager/core/objects.h"

struct again {
	struct log_job job;
	sd_event_source *turn; /* NULL: it waits for its log */
	struct session *s;     /* NULL: gone meanwhile */
	struct packet packet;
	alignas(8) __u8 data[];
};

static int again_new(struct again **out, struct session *s, struct packet *p, const void *data)
{
	struct again *again = calloc(1, sizeof(*again) + (size_t)p->len);

	if (!again)
		return -ENOMEM;
	again->s = s;
	again->packet = *p;
	again->job.f = s->f;
	again->job.user = s->user;
	again->job.fd = -1;
	memcpy(again->data, data, (size_t)p->len);
	*out = again;
	return 0;
}

static void again_free(struct again *again)
{
	packet_drop_fds(again->job.f->async_close, again->job.user, &again->packet);
	sd_event_source_disable_unref(again->turn);
	if (again->job.fd >= 0)
		close(again->job.fd);
	free(again);
}

static void on_log(struct log_job *job)
{
	struct again *again = (struct again *)job;
	struct fabric *f = job->f;

	if (again->s) {
		again->s->again = NULL;
		f->log_ready = job;
		session_again(again->s, &again->packet, again->data);
		f->log_ready = NULL;
	}
	again_free(again);
}

static int on_turn(sd_event_source *source, void *arg)
{
	struct again *again = arg;

	(void)source;
	again->s->again = NULL;
	session_again(again->s, &again->packet, again->data);
	again_free(again);
	return 0;
}

/* It is the session's, and has the descriptors. */
static int begun(struct again *again, struct packet *p, int r)
{
	if (r < 0) {
		again->packet.nfds = 0;
		again_free(again);
		return r;
	}
	again->s->again = again;
	p->nfds = 0;
	return 0;
}

int again_with_log(struct session *s, struct packet *p, const void *data)
{
	struct again *again;
	int r = again_new(&again, s, p, data);

	if (r)
		return r;
	again->job.done = on_log;
	return begun(again, p, log_begin(s->f, s->user, &again->job));
}

int again_next_turn(struct session *s, struct packet *p, const void *data)
{
	struct again *again;
	int r = again_new(&again, s, p, data);

	if (r)
		return r;
	r = sd_event_add_defer(s->f->event, &again->turn, on_turn, again);
	if (r >= 0)
		r = sd_event_source_set_priority(again->turn, s->rank);
	return begun(again, p, r);
}

void again_forget(struct again *again)
{
	if (!again)
		return;
	again->s = NULL;
	if (again->turn)
		again_free(again);
}
