// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/core/events.h"

#include "common/util.h"
#include "manager/core/objects.h"

struct subscriber {
	struct subscriber *next;
	event_fn fn;
	void *arg;
};

int events_subscribe(struct fabric *f, event_fn fn, void *arg)
{
	struct subscriber **at = &f->subscribers, *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->fn = fn;
	s->arg = arg;
	while (*at)
		at = &(*at)->next;
	*at = s;
	return 0;
}

void event_emit(struct fabric *f, const struct event *event)
{
	for (struct subscriber *s = f->subscribers; s; s = s->next)
		s->fn(s->arg, event);
}

void events_free(struct fabric *f)
{
	while (f->subscribers) {
		struct subscriber *next = f->subscribers->next;

		free(f->subscribers);
		f->subscribers = next;
	}
}
