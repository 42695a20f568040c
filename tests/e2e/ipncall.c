// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Calls of libipn from a script: ipncall [-i] COMMAND...
 *
 * Each argument is one call, with -i also each line of standard input after them. Each call answers
 * with one line: "ok", "ok VALUE", or the name of the errno. Calls go to descriptor 0 unless `use
 * N` chose another, 0 to 7. A line "quit" ends.
 *
 *   socket [POLICY [nonblock]]     bind PATH      connect [PATH]     close      use N
 *   send TEXT      sendlen N       sendhex HEX    sendmany N
 *   recv [MS]      recvhex [MS]    recvlen [MS]   recvall [MS]       (MS: at most so long)
 *   shutdown rd|wr|both            poll MS [in]   name               overruns
 *   oob on|handle|off              events MS [pri|out]  (as poll, each bit by its name)
 *   oobrecv [MS]                   ("READERS WRITERS" of an out-of-band message, "data" of others)
 *   set OPTION VALUE               get OPTION     (mtu numnodes pool flags mode port descr change)
 *   pset LEVEL OPTION VALUE        pget LEVEL OPTION [VALUE]       ioctl REQUEST [VALUE]
 *   conn tap|grab|0xFLAGS [NAME]   join NAME|INDEX   persist 0|1   persistdev 0|1 NAME|INDEX
 *   mac HEX                        encoding SIZE (of the argument, in the requests' numbers)
 *   umask OCTAL                    fds            pid
 *   raw TEXT      rawread     rawclose            (the system's calls, past the library)
 *   fork          (a child goes on, and this process ends)
 *   sndtimeo MS   alarm MS                        (a signal with a handler)
 */
#include <ipn/ipn.h>

#include <dirent.h>
#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define MAX_LEN 65536
#define SLOTS 8

static int slots[SLOTS] = { -1, -1, -1, -1, -1, -1, -1, -1 };
static int now;
static unsigned char buf[MAX_LEN + 1];

static void answer(long r)
{
	if (r < 0)
		printf("%s\n", strerrorname_np(errno));
	else
		puts("ok");
}

static void answer_value(long r)
{
	if (r < 0)
		printf("%s\n", strerrorname_np(errno));
	else
		printf("ok %ld\n", r);
}

static socklen_t addr_of(struct sockaddr_un *addr, const char *path)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_IPN };
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", path);
	return sizeof(*addr);
}

static void do_socket(const char *arg)
{
	int policy = atoi(arg);

	slots[now] = ipn_socket(AF_IPN, SOCK_RAW | (strstr(arg, "nonblock") ? SOCK_NONBLOCK : 0),
				policy);
	answer(slots[now]);
}

static void do_bind(const char *arg)
{
	struct sockaddr_un addr;
	socklen_t len = addr_of(&addr, arg);

	answer(ipn_bind(slots[now], (void *)&addr, len));
}

static void do_connect(const char *arg)
{
	struct sockaddr_un addr;
	socklen_t len = addr_of(&addr, arg);

	answer(*arg ? ipn_connect(slots[now], (void *)&addr, len)
		    : ipn_connect(slots[now], NULL, 0));
}

static void do_close(const char *arg)
{
	(void)arg;
	answer(ipn_close(slots[now]));
}

static void do_use(const char *arg)
{
	now = atoi(arg) & (SLOTS - 1);
	answer(0);
}

static void do_send(const char *arg)
{
	answer_value(ipn_send(slots[now], arg, strlen(arg), 0));
}

static void do_sendlen(const char *arg)
{
	memset(buf, 'x', sizeof(buf));
	answer_value(ipn_send(slots[now], buf, strtoul(arg, NULL, 0), 0));
}

static void do_sendmany(const char *arg)
{
	long n = atol(arg);

	for (long i = 0; i < n; i++) {
		int len = snprintf((char *)buf, sizeof(buf), "%ld", i);

		if (ipn_send(slots[now], buf, (size_t)len, 0) < 0) {
			answer(-1);
			return;
		}
	}
	answer(0);
}

static void do_sendhex(const char *arg)
{
	size_t n = 0;

	for (; arg[0] && arg[1] && n < MAX_LEN; arg += 2) {
		unsigned int byte;

		sscanf(arg, "%2x", &byte);
		buf[n++] = (unsigned char)byte;
	}
	answer_value(ipn_send(slots[now], buf, n, 0));
}

static ssize_t receive(const char *arg)
{
	long ms = atol(arg);
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	if (ipn_setsockopt(slots[now], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)))
		return -1;
	return ipn_recv(slots[now], buf, MAX_LEN, 0);
}

static void do_recv(const char *arg)
{
	ssize_t n = receive(arg);

	if (n < 0)
		answer(-1);
	else
		printf("ok %.*s\n", (int)n, buf);
}

static void do_recvhex(const char *arg)
{
	ssize_t n = receive(arg);

	if (n < 0) {
		answer(-1);
		return;
	}
	printf("ok ");
	for (ssize_t i = 0; i < n; i++)
		printf("%02x", buf[i]);
	putchar('\n');
}

static void do_recvlen(const char *arg)
{
	answer_value(receive(arg));
}

/* All there is, on one line. */
static void do_recvall(const char *arg)
{
	ssize_t n;

	printf("ok");
	while ((n = receive(arg)) > 0)
		printf(" %.*s", (int)n, buf);
	putchar('\n');
}

static void do_shutdown(const char *arg)
{
	answer(ipn_shutdown(slots[now], !strcmp(arg, "rd")   ? SHUT_RD
					: !strcmp(arg, "wr") ? SHUT_WR
							     : SHUT_RDWR));
}

static void do_poll(const char *arg)
{
	short out = strstr(arg, "in") ? 0 : POLLOUT;
	struct pollfd p = { .fd = slots[now], .events = (short)(POLLIN | out) };
	int r = ipn_poll(&p, 1, atoi(arg));

	if (r < 0)
		answer(-1);
	else
		printf("ok%s%s%s%s\n", p.revents & POLLIN ? " in" : "",
		       p.revents & POLLOUT ? " out" : "", p.revents & POLLHUP ? " hup" : "",
		       p.revents & POLLERR ? " err" : "");
}

static void do_events(const char *arg)
{
	short events = POLLIN | POLLPRI | POLLRDNORM | POLLOUT;
	struct pollfd p = { .fd = slots[now], .events = events };
	int r;

	if (strstr(arg, "pri"))
		p.events = POLLPRI;
	if (strstr(arg, "out"))
		p.events = POLLOUT;
	r = ipn_poll(&p, 1, atoi(arg));

	if (r < 0)
		answer(-1);
	else
		printf("ok%s%s%s%s%s\n", p.revents & POLLIN ? " in" : "",
		       p.revents & POLLPRI ? " pri" : "", p.revents & POLLRDNORM ? " rdnorm" : "",
		       p.revents & POLLOUT ? " out" : "", p.revents & POLLHUP ? " hup" : "");
}

static void do_oob(const char *arg)
{
	int handle = strcmp(arg, "off") != 0, want = !strcmp(arg, "on");
	int r = ipn_setsockopt(slots[now], 0, IPN_SO_HANDLE_OOB, &handle, sizeof(handle));

	if (!r)
		r = ipn_setsockopt(slots[now], 0, IPN_SO_WANT_OOB_NUMNODES, &want, sizeof(want));
	answer(r);
}

static void do_oobrecv(const char *arg)
{
	struct numnode_oob oob;
	struct iovec iov = { buf, MAX_LEN };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	long ms = atol(arg);
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };
	ssize_t n = ipn_setsockopt(slots[now], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));

	if (!n)
		n = ipn_recvmsg(slots[now], &msg, 0);
	memcpy(&oob, buf, sizeof(oob));
	if (n < 0)
		answer(-1);
	else if (!(msg.msg_flags & MSG_OOB))
		printf("ok data\n");
	else if (n != sizeof(oob) || oob.level != IPN_ANY || oob.tag != IPN_OOB_NUMNODE_TAG)
		printf("ok strange\n");
	else
		printf("ok %d %d\n", oob.numreaders, oob.numwriters);
}

static void do_name(const char *arg)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);

	(void)arg;
	if (ipn_getsockname(slots[now], (void *)&addr, &len))
		answer(-1);
	else
		printf("ok %s\n", addr.sun_path);
}

static void do_overruns(const char *arg)
{
	uint64_t n = 0;
	int r = ipn_overruns(slots[now], &n);

	(void)arg;
	answer_value(r < 0 ? r : (long)n);
}

static const struct {
	const char *name;
	int number;
} options[] = {
	{ "mtu", IPN_SO_MTU },
	{ "numnodes", IPN_SO_NUMNODES },
	{ "flags", IPN_SO_FLAGS },
	{ "pool", IPN_SO_MSGPOOLSIZE },
	{ "mode", IPN_SO_MODE },
	{ "port", IPN_SO_PORT },
	{ "change", IPN_SO_CHANGE_NUMNODES },
	{ "descr", IPN_SO_DESCR },
	{ NULL, 0 },
};

static int option_find(const char *arg)
{
	for (int i = 0; options[i].name; i++)
		if (!strncmp(options[i].name, arg, strlen(options[i].name)))
			return options[i].number;
	fprintf(stderr, "ipncall: %s: no such option\n", arg);
	exit(2);
}

static void do_set(const char *arg)
{
	int option = option_find(arg), value;
	const char *text = strchr(arg, ' ');

	text = text ? text + 1 : "";
	value = (int)strtol(text, NULL, 0);
	if (option == IPN_SO_DESCR)
		answer(ipn_setsockopt(slots[now], 0, option, text, (socklen_t)strlen(text) + 1));
	else
		answer(ipn_setsockopt(slots[now], 0, option, &value, sizeof(value)));
}

static void do_get(const char *arg)
{
	int option = option_find(arg), value = 0;
	char text[IPN_DESCRLEN + 1] = "";
	socklen_t len = option == IPN_SO_DESCR ? IPN_DESCRLEN : sizeof(value);
	int r = ipn_getsockopt(slots[now], 0, option,
			       option == IPN_SO_DESCR ? (void *)text : &value, &len);

	if (r >= 0 && option == IPN_SO_DESCR)
		printf("ok %s\n", text);
	else
		answer_value(r < 0 ? r : value);
}

/* "LEVEL OPTION VALUE": an option of a policy, with an int for its value. */
static void do_pset(const char *arg)
{
	int level = 0, option = 0, value = 0;

	sscanf(arg, "%i %i %i", &level, &option, &value);
	answer(ipn_setsockopt(slots[now], level, option, &value, sizeof(value)));
}

static void do_pget(const char *arg)
{
	int level = 0, option = 0, value = 0;
	socklen_t len = sizeof(value);
	int r;

	sscanf(arg, "%i %i %i", &level, &option, &value);
	r = ipn_getsockopt(slots[now], level, option, &value, &len);
	answer_value(r < 0 ? r : value);
}

/* "REQUEST [VALUE]": an ioctl with an int for its argument. */
static void do_ioctl(const char *arg)
{
	unsigned int request = 0;
	int value = 0, r;

	sscanf(arg, "%i %i", (int *)&request, &value);
	r = ipn_ioctl(slots[now], request, &value);
	answer_value(r < 0 ? r : value);
}

static unsigned long encoding; /* what to add to the numbers of requests */

static int request(unsigned long number, struct ifreq *ifr)
{
	if (encoding)
		number = (number & 0xffff) | encoding;
	return ipn_ioctl(slots[now], number, ifr);
}

static void do_encoding(const char *arg)
{
	encoding = strtoul(arg, NULL, 0) << 16;
	answer(0);
}

static void do_conn(const char *arg)
{
	struct ifreq ifr = { 0 };
	const char *name = strchr(arg, ' ');

	ifr.ifr_flags = !strncmp(arg, "tap", 3)    ? IPN_NODEFLAG_TAP
			: !strncmp(arg, "grab", 4) ? IPN_NODEFLAG_GRAB
						   : (short)strtol(arg, NULL, 0);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name ? name + 1 : "");
	if (request(IPN_CONN_NETDEV, &ifr))
		answer(-1);
	else
		printf("ok %s\n", ifr.ifr_name);
}

static void by_name_or_index(unsigned long number, const char *arg)
{
	struct ifreq ifr = { 0 };

	if (atoi(arg))
		ifr.ifr_ifindex = atoi(arg);
	else
		snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", arg);
	answer(request(number, &ifr));
}

static void do_join(const char *arg)
{
	by_name_or_index(IPN_JOIN_NETDEV, arg);
}

static void do_persistdev(const char *arg)
{
	by_name_or_index(*arg == '1' ? IPN_SETPERSIST_NETDEV : IPN_CLRPERSIST_NETDEV,
			 *arg ? arg + 2 : arg);
}

static void do_persist(const char *arg)
{
	answer(request(IPN_SETPERSIST, (void *)(intptr_t)atoi(arg)));
}

static void do_mac(const char *arg)
{
	struct ifreq ifr = { .ifr_hwaddr.sa_family = 1 };

	for (int i = 0; i < 6 && arg[0] && arg[1]; i++, arg += 2) {
		unsigned int byte = 0;

		sscanf(arg, "%2x", &byte);
		ifr.ifr_hwaddr.sa_data[i] = (char)byte;
	}
	answer(ipn_ioctl(slots[now], SIOCSIFHWADDR, &ifr));
}

static void do_umask(const char *arg)
{
	umask((mode_t)strtoul(arg, NULL, 8));
	answer(0);
}

static void do_fds(const char *arg)
{
	DIR *dir = opendir("/proc/self/fd");
	long n = 0;

	(void)arg;
	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	answer_value(n - 3);
}

static void do_pid(const char *arg)
{
	(void)arg;
	answer_value(getpid());
}

static void do_raw(const char *arg)
{
	answer_value(write(slots[now], arg, strlen(arg)));
}

static void do_rawread(const char *arg)
{
	(void)arg;
	answer_value(recv(slots[now], buf, MAX_LEN, MSG_DONTWAIT));
}

static void do_rawclose(const char *arg)
{
	(void)arg;
	answer(close(slots[now]));
}

static void do_fork(const char *arg)
{
	pid_t pid = fork();

	(void)arg;
	if (pid > 0)
		_exit(0);
	answer_value(pid < 0 ? -1 : getpid());
}

static void do_sndtimeo(const char *arg)
{
	long ms = atol(arg);
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	answer(ipn_setsockopt(slots[now], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
}

static void on_alarm(int number)
{
	(void)number;
}

static void do_alarm(const char *arg)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	long ms = atol(arg);
	struct itimerval timer = { .it_value = { ms / 1000, ms % 1000 * 1000 } };

	sigaction(SIGALRM, &action, NULL);
	answer(setitimer(ITIMER_REAL, &timer, NULL));
}

static const struct {
	const char *name;
	void (*run)(const char *arg);
} commands[] = {
	{ "socket", do_socket },
	{ "bind", do_bind },
	{ "connect", do_connect },
	{ "close", do_close },
	{ "use", do_use },
	{ "send", do_send },
	{ "sendlen", do_sendlen },
	{ "sendhex", do_sendhex },
	{ "sendmany", do_sendmany },
	{ "recv", do_recv },
	{ "recvhex", do_recvhex },
	{ "recvlen", do_recvlen },
	{ "recvall", do_recvall },
	{ "shutdown", do_shutdown },
	{ "poll", do_poll },
	{ "events", do_events },
	{ "oob", do_oob },
	{ "oobrecv", do_oobrecv },
	{ "name", do_name },
	{ "overruns", do_overruns },
	{ "set", do_set },
	{ "get", do_get },
	{ "pset", do_pset },
	{ "pget", do_pget },
	{ "ioctl", do_ioctl },
	{ "encoding", do_encoding },
	{ "conn", do_conn },
	{ "join", do_join },
	{ "persist", do_persist },
	{ "persistdev", do_persistdev },
	{ "mac", do_mac },
	{ "umask", do_umask },
	{ "fds", do_fds },
	{ "pid", do_pid },
	{ "raw", do_raw },
	{ "rawread", do_rawread },
	{ "rawclose", do_rawclose },
	{ "fork", do_fork },
	{ "sndtimeo", do_sndtimeo },
	{ "alarm", do_alarm },
	{ NULL, NULL },
};

static void run(const char *line)
{
	size_t len = strcspn(line, " ");

	for (int i = 0; commands[i].name; i++) {
		if (strlen(commands[i].name) == len && !strncmp(commands[i].name, line, len)) {
			commands[i].run(line[len] ? line + len + 1 : "");
			fflush(stdout);
			return;
		}
	}
	fprintf(stderr, "ipncall: %s: no such command\n", line);
	exit(2);
}

int main(int argc, char **argv)
{
	bool interactive = argc > 1 && !strcmp(argv[1], "-i");
	static char line[2 * MAX_LEN + 64];

	for (int i = interactive ? 2 : 1; i < argc; i++)
		run(argv[i]);
	while (interactive && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "quit"))
			break;
		run(line);
	}
	return 0;
}
