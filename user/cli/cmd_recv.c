// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * recv: each message on a line, as it is, in hexadecimal or as JSON.
 *
 * Messages are taken where they stand in the log (ipn_recv_peek), because there an empty message
 * and the end differ. A fast sender may overwrite some meanwhile, so a batch is copied first,
 * and only what ipn_recv_done says was whole is printed. Signals come through a descriptor
 * beside that of the node: none is missed between a look at the node and the wait. For them to
 * end it also where nobody reads what it prints, it waits for standard output in the same way,
 * and writes no more at a time than a pipe takes that is not full.
 */
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>

#include "cli/fabric.h"
#include "cli/node.h"
#include "common/util.h"

#define BATCH 32
#define BATCHES_PER_SIGNAL_CHECK 64
#define NS_PER_MS 1000000
#define OUT_FULL 65536    /* bytes that are printed before more is received */
#define LAST_WORDS_MS 200 /* for what was received before a signal came */

struct recv {
	const struct cli_args *args;
	const char *path;
	int fd;
	int signals; /* signalfd */
	int signal;  /* what came, or 0 */
	__u64 got;
	__u64 last; /* when the last message came, ns */
	char *buf;  /* what is to be printed, then a batch on its way there */
	size_t size, len;
};

static void recv_free(const struct recv *r)
{
	free(r->buf);
	util_close_fd(&r->signals);
	node_leave(&r->fd);
}

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (__u64)ts.tv_sec * 1000000000ULL + (__u64)ts.tv_nsec;
}

/* The signals that end the program, less those it was started with ignored. */
static int signals_open(struct recv *r)
{
	static const int ends[] = { SIGHUP, SIGINT, SIGTERM };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct sigaction old;

		if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaddset(&set, ends[i]);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	r->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signals < 0 ? -errno : 0;
}

static bool signals_came(struct recv *r)
{
	struct signalfd_siginfo info;

	if (read(r->signals, &info, sizeof(info)) == sizeof(info))
		r->signal = (int)info.ssi_signo;
	return r->signal != 0;
}

/* The output has nobody at its other end any more. */
static bool out_gone(short revents)
{
	return revents & (POLLERR | POLLHUP | POLLNVAL);
}

/* Waits until something can be printed: 1. 0: look again; -1: it is over, and errno is 0 or why. */
static int out_wait(struct recv *r)
{
	struct pollfd p[] = {
		{ .fd = STDOUT_FILENO, .events = POLLOUT },
		{ .fd = r->signal ? -1 : r->signals, .events = POLLIN },
	};
	int n = poll(p, ARRAY_SIZE(p), r->signal ? LAST_WORDS_MS : -1);

	if (n < 0)
		return errno == EINTR ? 0 : -1;
	if (p[1].revents)
		signals_came(r);
	errno = 0;
	return n ? p[0].revents != 0 : -1;
}

/* Prints it all, unless a signal comes and nobody takes it. 0, or -errno. */
static int out_flush(struct recv *r)
{
	size_t done = 0;
	int err = 0;

	while (done < r->len) {
		size_t some = r->len - done < PIPE_BUF ? r->len - done : PIPE_BUF;
		int ready = out_wait(r);
		ssize_t n;

		if (!ready)
			continue;
		if (ready < 0) {
			err = -errno;
			break;
		}
		n = write(STDOUT_FILENO, r->buf + done, some);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			err = -errno;
			break;
		}
		done += n > 0 ? (size_t)n : 0;
	}
	r->len = 0;
	return err;
}

/* Dies of a signal as if it had never been caught, for the exit status. */
static void die_of(int number)
{
	sigset_t set;

	signal(number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(number);
}

/* Room for n more bytes of the batch. */
static int batch_reserve(struct recv *r, size_t n)
{
	size_t need = r->len + n;
	char *buf;

	if (r->buf && need <= r->size)
		return 0;
	buf = realloc(r->buf, need * 2);
	if (!buf)
		return -ENOMEM;
	r->buf = buf;
	r->size = need * 2;
	return 0;
}

/* 2 * len characters at `to`. */
static void hex_put(char *to, const unsigned char *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*to++ = digits[data[i] >> 4];
		*to++ = digits[data[i] & 15];
	}
}

/* The message as it is, or in hexadecimal. */
static int plain_add(struct recv *r, const unsigned char *data, size_t len)
{
	bool hex = cli_given(r->args, CLI_HEX);

	if (batch_reserve(r, len * (hex ? 2 : 1) + 1))
		return -ENOMEM;
	if (hex)
		hex_put(r->buf + r->len, data, len);
	else if (len)
		memcpy(r->buf + r->len, data, len);
	r->len += len * (hex ? 2 : 1);
	return 0;
}

/* The message's bytes for JSON: as text where they are UTF-8, unless hexadecimal is asked for. */
static int json_data(struct recv *r, json_t *o, const unsigned char *data, size_t len)
{
	json_t *value = cli_given(r->args, CLI_HEX) ? NULL : json_stringn((const char *)data, len);
	const char *key = value ? "text" : "hex";
	_cleanup_free_ char *hex = NULL;

	if (!value) {
		hex = malloc(2 * len + 1);
		if (!hex)
			return -ENOMEM;
		hex_put(hex, data, len);
		value = json_stringn(hex, 2 * len);
	}
	return json_object_set_new(o, key, value) ? -ENOMEM : 0;
}

static int json_add(struct recv *r, __u32 port, const unsigned char *data, size_t len)
{
	json_t *from = port == IPN_PORT_NONE ? json_null() : json_integer(port);
	json_t *o = json_pack("{s:o, s:I}", "port", from, "length", (json_int_t)len);
	_cleanup_free_ char *text = NULL;

	if (o && json_data(r, o, data, len) == 0)
		text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!text || batch_reserve(r, strlen(text) + 1))
		return -ENOMEM;
	memcpy(r->buf + r->len, text, strlen(text));
	r->len += strlen(text);
	return 0;
}

static int batch_add(struct recv *r, const struct ipn_view *view)
{
	size_t len = view->len < IPN_MTU_MAX ? view->len : IPN_MTU_MAX;
	int err = cli_given(r->args, CLI_JSON) ? json_add(r, view->port, view->data, len)
					       : plain_add(r, view->data, len);

	if (err == 0)
		r->buf[r->len++] = '\n';
	return err;
}

/* Prints the messages of a batch that were whole. Returns 0, or -errno. */
static int batch_print(struct recv *r, const struct ipn_view *views, int n)
{
	size_t at[BATCH + 1], start = r->len;
	int whole, err = 0;

	for (int i = 0; i < n && err == 0; i++) {
		at[i] = r->len;
		err = batch_add(r, &views[i]);
	}
	at[n] = r->len;
	whole = ipn_recv_done(r->fd, (unsigned int)n);
	if (whole < 0)
		err = -errno;
	if (err < 0) {
		r->len = start;
		return err;
	}
	r->got += (__u64)whole;
	r->last = now_ns();
	r->len -= at[n - whole] - start;
	if (r->buf)
		memmove(r->buf + start, r->buf + at[n - whole], r->len - start);
	return 0;
}

static int fail_stdout(struct recv *r, int err)
{
	if (err == EPIPE) {
		r->signal = SIGPIPE;
		return CLI_FAILED;
	}
	return cli_fail(r->args, "standard output", "%s", strerror(err));
}

/* Milliseconds to wait for the next message, rounded up; -1: for ever, 0: it is over. */
static int wait_ms(const struct recv *r)
{
	__u64 timeout = r->args->value[CLI_TIMEOUT].number, waited = now_ns() - r->last, ms;

	if (!cli_given(r->args, CLI_TIMEOUT))
		return -1;
	if (waited >= timeout)
		return 0;
	ms = (timeout - waited + NS_PER_MS - 1) / NS_PER_MS;
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

static int timed_out(const struct recv *r)
{
	const struct cli_value *value = r->args->value;

	if (!cli_given(r->args, CLI_COUNT))
		return CLI_OK;
	return cli_fail(r->args, r->path, "%llu of %llu messages, then none for %s s",
			(unsigned long long)r->got, value[CLI_COUNT].number + 0ULL,
			value[CLI_TIMEOUT].text);
}

/* Sleeps until there is something. Returns false if it is over, with the exit status. */
static bool wait_more(struct recv *r, int *status)
{
	struct pollfd fds[] = {
		{ .fd = r->fd, .events = POLLIN },
		{ .fd = r->signals, .events = POLLIN },
		{ .fd = STDOUT_FILENO },
	};
	int ms = wait_ms(r);

	if (ms == 0) {
		*status = timed_out(r);
		return false;
	}
	if (ipn_poll(fds, ARRAY_SIZE(fds), ms) < 0 && errno != EINTR) {
		*status = cli_fail_errno(r->args, r->path, errno);
		return false;
	}
	if (signals_came(r))
		return false;
	if (out_gone(fds[2].revents)) {
		*status = fail_stdout(r, fds[2].revents & POLLNVAL ? EBADF : EPIPE);
		return false;
	}
	return true;
}

static int recv_all(struct recv *r)
{
	const struct cli_value *count = &r->args->value[CLI_COUNT];
	struct ipn_view views[BATCH];
	int flushed, status = CLI_OK;

	for (unsigned int batches = 1; !count->text || r->got < count->number; batches++) {
		__u64 want = count->text ? count->number - r->got : BATCH;
		int n = ipn_recv_peek(r->fd, views, want < BATCH ? (unsigned int)want : BATCH,
				      MSG_DONTWAIT);

		if (n > 0) {
			int err = batch_print(r, views, n);

			if (err < 0)
				return cli_fail_errno(r->args, r->path, err);
			err = r->len < OUT_FULL ? 0 : out_flush(r);
			if (err < 0)
				return fail_stdout(r, -err);
			if (r->signal)
				break;
			if (batches % BATCHES_PER_SIGNAL_CHECK == 0 && signals_came(r))
				break;
			continue;
		}
		if (n == 0)
			return cli_fail_errno(r->args, r->path, ECONNRESET);
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return cli_fail_errno(r->args, r->path, errno);
		flushed = out_flush(r);
		if (flushed < 0)
			return fail_stdout(r, -flushed);
		if (r->signal || !wait_more(r, &status))
			break;
	}
	return status;
}

int cmd_recv(const struct cli_args *args)
{
	__attribute__((cleanup(recv_free))) struct recv r = {
		.args = args,
		.path = args->value[CLI_PATH].text,
		.fd = -1,
		.signals = -1,
	};
	uint64_t lost = 0;
	int status, flushed;

	r.fd = node_join(args, SHUT_WR);
	if (r.fd < 0)
		return CLI_FAILED;
	status = signals_open(&r);
	if (status < 0)
		return cli_fail_errno(args, NULL, status);
	r.last = now_ns();
	status = recv_all(&r);
	flushed = out_flush(&r);
	if (flushed < 0 && r.signal != SIGPIPE)
		status = fail_stdout(&r, -flushed);
	if (ipn_overruns(r.fd, &lost) == 0 && lost)
		cli_fail(args, r.path,
			 "%llu messages lost, this reader was too slow (a network with "
			 "a larger --pool loses fewer)",
			 (unsigned long long)lost);
	if (r.signal)
		die_of(r.signal);
	return status;
}
