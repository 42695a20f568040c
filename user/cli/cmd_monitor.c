// SPDX-License-Identifier: GPL-2.0-or-later
/* monitor: what happens in the fabric, a line each, until it is interrupted. */
#include <inttypes.h>
#include <ipn/af_ipn.h>
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
	[IPN_WATCH_HOLDS] = "holds",
};

static bool of_port(const struct ipn_ctl_event *e)
{
	return e->what == IPN_WATCH_JOIN || e->what == IPN_WATCH_LEAVE ||
	       e->what == IPN_WATCH_OVERRUN || e->what == IPN_WATCH_HOLDS;
}

static bool of_policy(const struct ipn_ctl_event *e)
{
	return e->what == IPN_WATCH_POLICY || e->what == IPN_WATCH_POLICY_GONE;
}

/* By the policy; or by the fabric, which could not tell the program. */
static const char *refusal(const struct ipn_ctl_event *e)
{
	if (e->name[0] || e->count != EADDRNOTAVAIL)
		return strerror((int)e->count);
	return e->port == (__u32)IPN_PORTNO_ANY ? "no port is free"
						: "the port is taken, or out of range";
}

static void print_refused(const struct ipn_ctl_event *e)
{
	printf("  %s  uid %u", names_kind(e->kind) ?: "?", e->uid);
	if (e->pid)
		printf("  pid %u", e->pid);
	if (e->port != (__u32)IPN_PORTNO_ANY)
		printf("  port %u", e->port);
	if (e->name[0])
		printf("  by %s", e->name);
	printf(": %s", refusal(e));
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
	if (e->what == IPN_WATCH_HOLDS)
		printf("  does not read: senders wait for %.1f s", (double)e->count / 1000);
	if (e->what == IPN_WATCH_LOST)
		printf("  %" PRIu64, (uint64_t)e->count);
	if (of_policy(e))
		printf("  %s  number %u", e->name, e->port);
	if (e->what == IPN_WATCH_REFUSED)
		print_refused(e);
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
		json_object_set_new(o, "policy", e->name[0] ? json_string(e->name) : json_null());
		json_object_set_new(o, "port",
				    e->port == (__u32)IPN_PORTNO_ANY ? json_null()
								     : json_integer(e->port));
		json_object_set_new(o, "pid", e->pid ? json_integer(e->pid) : json_null());
		json_object_set_new(o, "kind", json_string(names_kind(e->kind) ?: "?"));
		json_object_set_new(o, "uid", json_integer(e->uid));
		json_object_set_new(o, "error", json_string(refusal(e)));
	}
	if (e->what == IPN_WATCH_HOLDS)
		json_object_set_new(o, "holds_ms", json_integer((json_int_t)e->count));
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
		if (path >= 0 && packet.event.what == IPN_WATCH_NET_DEL)
			return CLI_OK; /* it cannot come back: one at its path is another */
	}
}
