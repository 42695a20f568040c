// SPDX-License-Identifier: GPL-2.0-or-later
/* monitor: what happens in the fabric, a line each, until it is interrupted. */
#include <inttypes.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "cli/display.h"
#include "cli/fabric.h"
#include "common/names.h"
#include "common/util.h"

#define NS_PER_S 1000000000ULL

static const char *const words[] = {
	[IPN_WATCH_NET_ADD] = "network",
	[IPN_WATCH_NET_DEL] = "removed",
	[IPN_WATCH_JOIN] = "join",
	[IPN_WATCH_LEAVE] = "leave",
	[IPN_WATCH_COUNTS] = "counts",
	[IPN_WATCH_OVERRUN] = "overrun",
	[IPN_WATCH_LOST] = "lost-events",
	[IPN_WATCH_POLICY] = "policy",
	[IPN_WATCH_POLICY_GONE] = "unloaded",
	[IPN_WATCH_REFUSED] = "refused",
};

static bool of_port(const struct ipn_ctl_event *e)
{
	return e->what == IPN_WATCH_JOIN || e->what == IPN_WATCH_LEAVE ||
	       e->what == IPN_WATCH_OVERRUN;
}

static bool of_policy(const struct ipn_ctl_event *e)
{
	return e->what == IPN_WATCH_POLICY || e->what == IPN_WATCH_POLICY_GONE;
}

static int print_text(const struct ipn_ctl_event *e)
{
	time_t seconds = (time_t)(e->time / NS_PER_S);
	char when[32];
	struct tm tm;

	strftime(when, sizeof(when), "%H:%M:%S", localtime_r(&seconds, &tm));
	printf("%s.%03u  %-11s", when, (unsigned int)(e->time % NS_PER_S / 1000000),
	       words[e->what]);
	if (e->path[0])
		printf("  %s", e->path);
	if (of_port(e))
		printf("  port %u  %s  %s  uid %u", e->port, names_kind(e->kind) ?: "?", e->name,
		       e->uid);
	if (of_port(e) && e->pid)
		printf("  pid %u", e->pid);
	if (e->what == IPN_WATCH_COUNTS)
		printf("  %u readers  %u writers", e->readers, e->writers);
	if (e->what == IPN_WATCH_OVERRUN)
		printf("  %" PRIu64 " messages", (uint64_t)e->count);
	if (e->what == IPN_WATCH_LOST)
		printf("  %" PRIu64, (uint64_t)e->count);
	if (of_policy(e))
		printf("  %s  number %u", e->name, e->port);
	if (e->what == IPN_WATCH_REFUSED)
		printf("  %s  uid %u  by %s: %s", names_kind(e->kind) ?: "?", e->uid, e->name,
		       strerror((int)e->count));
	putchar('\n');
	return fflush(stdout);
}

static int print_json(const struct ipn_ctl_event *e)
{
	json_t *o = json_pack("{s:f, s:s}", "time", (double)e->time / NS_PER_S, "event",
			      words[e->what]);

	if (e->path[0])
		json_object_set_new(o, "path", json_string(e->path));
	if (of_port(e)) {
		json_object_set_new(o, "port", json_integer(e->port));
		json_object_set_new(o, "kind", json_string(names_kind(e->kind) ?: "?"));
		json_object_set_new(o, "name", json_string(e->name));
		json_object_set_new(o, "uid", json_integer(e->uid));
		json_object_set_new(o, "pid", json_integer(e->pid));
	}
	if (e->what == IPN_WATCH_COUNTS) {
		json_object_set_new(o, "readers", json_integer(e->readers));
		json_object_set_new(o, "writers", json_integer(e->writers));
	}
	if (of_policy(e)) {
		json_object_set_new(o, "name", json_string(e->name));
		json_object_set_new(o, "number", json_integer(e->port));
	}
	if (e->what == IPN_WATCH_REFUSED) {
		json_object_set_new(o, "policy", json_string(e->name));
		json_object_set_new(o, "kind", json_string(names_kind(e->kind) ?: "?"));
		json_object_set_new(o, "uid", json_integer(e->uid));
		json_object_set_new(o, "error", json_string(strerror((int)e->count)));
	}
	if (e->what == IPN_WATCH_OVERRUN || e->what == IPN_WATCH_LOST)
		json_object_set_new(o, "messages", json_integer((json_int_t)e->count));
	json_dumpf(o, stdout, JSON_COMPACT);
	json_decref(o);
	putchar('\n');
	return fflush(stdout);
}

/* Until there is an event, or nobody reads any more what is printed: then false. */
static bool wait_event(int manager)
{
	struct pollfd p[] = { { .fd = manager, .events = POLLIN }, { .fd = STDOUT_FILENO } };

	while (poll(p, ARRAY_SIZE(p), -1) < 0) {
		if (errno != EINTR)
			break;
	}
	return !p[1].revents;
}

int cmd_monitor(const struct cli_args *args)
{
	struct client_call call = { .type = IPN_CTL_MONITOR };
	_cleanup_close_ int manager = fabric_open(args), path = -1;
	struct {
		struct ipn_ctl_hdr hdr;
		struct ipn_ctl_event event;
	} packet;

	if (manager < 0 || fabric_open_path(args, &path) < 0)
		return CLI_FAILED;
	call.fds = &path;
	call.nfds = path >= 0;
	if (fabric_call(args, manager, &call, args->value[CLI_PATH].text) < 0)
		return CLI_FAILED;
	for (;;) {
		ssize_t n;

		if (!wait_event(manager))
			return cli_fail_errno(args, "standard output", EPIPE);
		n = recv(manager, &packet, sizeof(packet), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return cli_fail(args, NULL, "the manager has ended");
		if (n != sizeof(packet) || packet.event.what >= ARRAY_SIZE(words) ||
		    !words[packet.event.what])
			return cli_fail_errno(args, NULL, EPROTO);
		packet.event.path[sizeof(packet.event.path) - 1] = '\0';
		packet.event.name[sizeof(packet.event.name) - 1] = '\0';
		if ((cli_given(args, CLI_JSON) ? print_json : print_text)(&packet.event))
			return cli_fail_errno(args, "standard output", errno);
	}
}
