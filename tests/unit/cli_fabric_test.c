// SPDX-License-Identifier: GPL-2.0-or-later
/* Whole commands against a manager that says what the test wants to hear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cli/fabric.h"
#include "common/util.h"

#define MAX_ARGS 16
#define LIST_ROWS 70 /* of a list in three pages */
#define PAGE_ROWS 30
#define TEN "0123456789"
#define LONG TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "012" /* 103 bytes: one too many in /tmp */

/* A request as it came, and the reply. */
struct exchange {
	const struct ipn_ctl_hdr *hdr;
	const void *body;
	int fds[IPN_CTL_MAX_FDS];
	unsigned int nfds;

	int status; /* errno; then `reply` is text */
	char reply[IPN_CTL_MAX_PACKET];
	size_t reply_len;
	bool hang_up; /* after the reply */
	bool silent;  /* no reply */
};

static struct fake {
	char dir[64];
	char path[96]; /* of a network that is not there yet */
	int listener;
	pthread_t thread;
	void (*answer)(struct exchange *x);
	unsigned int requests;
} fake;

/* What the fake saw of the last NET_ADD or ATTACH. */
static struct ipn_ctl_net_add seen_add;
static struct ipn_ctl_attach seen_attach;
static unsigned int seen_nfds;
static struct stat seen_inode;

static void reply_bytes(struct exchange *x, const void *bytes, size_t len)
{
	assert_true(x->reply_len + len <= sizeof(x->reply) - sizeof(struct ipn_ctl_hdr));
	memcpy(x->reply + x->reply_len, bytes, len);
	x->reply_len += len;
}

static void reply_error(struct exchange *x, int err, const char *text)
{
	x->status = err;
	x->reply_len = 0;
	reply_bytes(x, text, strlen(text));
}

static bool serve_one(int fd)
{
	static struct exchange x;
	char packet[IPN_CTL_MAX_PACKET], control[CMSG_SPACE(sizeof(int) * IPN_CTL_MAX_FDS)];
	struct iovec iov = { packet, sizeof(packet) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct ipn_ctl_hdr hdr;
	ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);

	if (n < (ssize_t)sizeof(hdr))
		return false;
	memset(&x, 0, sizeof(x));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_type == SCM_RIGHTS) {
			x.nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			memcpy(x.fds, CMSG_DATA(c), x.nfds * sizeof(int));
		}
	memcpy(&hdr, packet, sizeof(hdr));
	x.hdr = &hdr;
	x.body = packet + sizeof(hdr);
	fake.requests++;
	fake.answer(&x);
	for (unsigned int i = 0; i < x.nfds; i++)
		close(x.fds[i]);

	if (x.silent)
		return false;
	hdr.status = x.status;
	hdr.len = (__u32)(sizeof(hdr) + x.reply_len);
	memmove(packet, &hdr, sizeof(hdr));
	memcpy(packet + sizeof(hdr), x.reply, x.reply_len);
	return send(fd, packet, hdr.len, MSG_NOSIGNAL) == (ssize_t)hdr.len && !x.hang_up;
}

static void *serve(void *arg)
{
	int fd;

	while ((fd = accept4(fake.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		while (serve_one(fd))
			;
		close(fd);
	}
	return NULL;
}

static int fake_start(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	fake = (struct fake){ .dir = "/tmp/ipn-cli-XXXXXX" };
	umask(022);
	assert_non_null(mkdtemp(fake.dir));
	snprintf(fake.path, sizeof(fake.path), "%s/lan", fake.dir);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/control", fake.dir);
	fake.listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(fake.listener >= 0);
	assert_int_equal(bind(fake.listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fake.listener, 8), 0);
	assert_int_equal(pthread_create(&fake.thread, NULL, serve, NULL), 0);
	return 0;
}

static int fake_stop(void **state)
{
	char path[400];
	struct dirent *entry;
	DIR *dir;

	shutdown(fake.listener, SHUT_RDWR);
	pthread_join(fake.thread, NULL);
	close(fake.listener);
	dir = opendir(fake.dir);
	if (!dir)
		return -1;
	while ((entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", fake.dir, entry->d_name);
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && unlink(path) < 0)
			rmdir(path);
	}
	closedir(dir);
	return rmdir(fake.dir);
}

/* Bytes printed to a descriptor between capture_begin and capture_end. */
struct capture {
	int to, saved, file;
	char text[32768];
};

static void capture_begin(struct capture *c, int to)
{
	c->to = to;
	c->saved = dup(to);
	c->file = memfd_create("capture", MFD_CLOEXEC);
	assert_true(c->saved >= 0 && c->file >= 0);
	dup2(c->file, to);
}

static void capture_end(struct capture *c)
{
	ssize_t n;

	dup2(c->saved, c->to);
	n = pread(c->file, c->text, sizeof(c->text) - 1, 0);
	c->text[n > 0 ? n : 0] = '\0';
	close(c->saved);
	close(c->file);
}

static struct capture out, err;

/* Runs a command line, with @ for the path of the network. Returns its exit status. */
static int run(int (*command)(const struct cli_args *), const char *line)
{
	static char words[512], run_dir[96];
	char *argv[MAX_ARGS + 1] = { (char *)CLI_PROGRAM, run_dir }, text[256];
	struct cli_args args;
	int argc = 2, status;

	snprintf(run_dir, sizeof(run_dir), "--run-dir=%s", fake.dir);
	util_copy(words, sizeof(words), line);
	for (char *w = strtok(words, " "); w; w = strtok(NULL, " ")) {
		assert_true(argc < MAX_ARGS);
		argv[argc++] = strcmp(w, "@") == 0 ? fake.path : w;
	}
	if (cli_parse(argc, argv, &args, text, sizeof(text)) < 0)
		fail_msg("%s", text);
	fflush(stdout);
	capture_begin(&out, STDOUT_FILENO);
	capture_begin(&err, STDERR_FILENO);
	status = command(&args);
	fflush(stdout);
	capture_end(&err);
	capture_end(&out);
	return status;
}

/* `text`, with @ for the path and % for the directory of the fake. */
static void assert_text(const char *got, const char *text)
{
	char expected[1024], *to = expected;

	for (; *text; text++)
		if (*text == '@' || *text == '%')
			to += sprintf(to, "%s", *text == '@' ? fake.path : fake.dir);
		else
			*to++ = *text;
	*to = '\0';
	assert_string_equal(got, expected);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/*
 * Answers.
 */

static void answer_well(struct exchange *x)
{
	struct ipn_ctl_info info = { .pid = 42, .nets = 1, .version = "1", .bpffs = "/b" };
	struct ipn_ctl_net net = { .policy = 1, .mtu = 1514, .numnodes = 32, .path = "/n" };
	struct ipn_ctl_port port = { .port = 3, .path = "/n", .flags = IPN_PF_UP };
	struct ipn_ctl_fdb fdb = { .mac = { 2, 0, 0, 0, 0, 1 }, .port = 3, .age = 5 };
	struct ipn_ctl_page page = { .count = 1 };

	seen_nfds = x->nfds;
	if (x->nfds)
		fstat(x->fds[0], &seen_inode);
	switch (x->hdr->type) {
	case IPN_CTL_INFO:
		reply_bytes(x, &info, sizeof(info));
		break;
	case IPN_CTL_NET_ADD:
		memcpy(&seen_add, x->body, sizeof(seen_add));
		reply_bytes(x, &net, sizeof(net));
		break;
	case IPN_CTL_ATTACH:
		memcpy(&seen_attach, x->body, sizeof(seen_attach));
		port.kind = seen_attach.kind;
		memcpy(port.name, seen_attach.name, sizeof(port.name));
		reply_bytes(x, &port, sizeof(port));
		break;
	case IPN_CTL_NET_LIST:
		reply_bytes(x, &page, sizeof(page));
		reply_bytes(x, &net, sizeof(net));
		break;
	case IPN_CTL_PORT_LIST:
		reply_bytes(x, &page, sizeof(page));
		reply_bytes(x, &port, sizeof(port));
		break;
	case IPN_CTL_FDB_LIST:
		reply_bytes(x, &page, sizeof(page));
		reply_bytes(x, &fdb, sizeof(fdb));
		break;
	case IPN_CTL_DOWN:
		x->hang_up = true;
		break;
	default:
		break;
	}
}

static void answer_refuse(struct exchange *x)
{
	reply_error(x, EDQUOT, "uid 1 has 64 networks, the most a user may have");
}

static void answer_no_network(struct exchange *x)
{
	reply_error(x, ECONNREFUSED, "");
}

static void answer_with_path(struct exchange *x)
{
	char text[256];

	snprintf(text, sizeof(text), "%s: is full", fake.path);
	reply_error(x, EADDRNOTAVAIL, text);
}

static void answer_pages(struct exchange *x)
{
	const struct ipn_ctl_list *list = x->body;
	struct ipn_ctl_page page = { .count = PAGE_ROWS };

	if (list->from + page.count >= LIST_ROWS)
		page.count = LIST_ROWS - (__u32)list->from;
	else
		page.next = list->from + page.count;
	reply_bytes(x, &page, sizeof(page));
	for (__u32 i = 0; i < page.count; i++) {
		struct ipn_ctl_net net = { .id = (__u32)list->from + i };

		reply_bytes(x, &net, sizeof(net));
	}
}

static void answer_same_page(struct exchange *x)
{
	struct ipn_ctl_page page = { .next = 7 };

	reply_bytes(x, &page, sizeof(page));
}

static void answer_more_than_sent(struct exchange *x)
{
	struct ipn_ctl_page page = { .count = UINT32_MAX };
	struct ipn_ctl_net net = { 0 };

	reply_bytes(x, &page, sizeof(page));
	reply_bytes(x, &net, sizeof(net));
}

static void answer_short(struct exchange *x)
{
	reply_bytes(x, "x", 1);
}

static void answer_nothing(struct exchange *x)
{
	x->silent = true;
}

/*
 * Tests.
 */

static void no_manager_says_how_to_start_one(void **state)
{
	char control[128];

	fake.answer = answer_well;
	snprintf(control, sizeof(control), "%s/control", fake.dir);
	unlink(control);
	assert_int_equal(run(cmd_net_show, "net show"), CLI_FAILED);
	assert_text(err.text, "net show: no fabric runs here: %/control (start one with: "
			      "ipn-fabric up --run-dir %)\n");
	assert_int_equal(run(cmd_net_add, "net add @"), CLI_FAILED);
	assert_false(exists(fake.path));
}

static void lists_come_whole_in_pages(void **state)
{
	json_t *array;

	fake.answer = answer_pages;
	assert_int_equal(run(cmd_net_show, "net show --json"), CLI_OK);
	assert_int_equal(fake.requests, 3);
	array = json_loads(out.text, 0, NULL);
	assert_int_equal(json_array_size(array), LIST_ROWS);
	for (size_t i = 0; i < LIST_ROWS; i++)
		assert_int_equal(
			json_integer_value(json_object_get(json_array_get(array, i), "id")), i);
	json_decref(array);
}

static void nonsense_from_the_manager_is_an_error(void **state)
{
	static void (*const answers[])(struct exchange *) = {
		answer_same_page,
		answer_more_than_sent,
		answer_short,
	};

	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		fake.answer = answers[i];
		assert_int_equal(run(cmd_net_show, "net show"), CLI_FAILED);
		assert_text(err.text, "net show: answer makes no sense (are this program and the "
				      "manager of one version?)\n");
		assert_string_equal(out.text, "");
	}
	assert_int_equal(fake.requests, 4);
}

static void manager_that_dies_is_an_error(void **state)
{
	fake.answer = answer_nothing;
	assert_int_equal(run(cmd_net_show, "net show"), CLI_FAILED);
	assert_string_equal(err.text, "net show: the manager went away (start it again with: "
				      "ipn-fabric up)\n");
}

static void net_add_makes_the_socket_with_mode_and_umask(void **state)
{
	struct stat st;

	fake.answer = answer_well;
	assert_int_equal(run(cmd_net_add, "net add @ --policy switch --mode 0770 --mtu 9000"),
			 CLI_OK);
	assert_string_equal(out.text, "");
	assert_string_equal(err.text, "");
	assert_int_equal(lstat(fake.path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0750);
	assert_int_equal(seen_inode.st_ino, st.st_ino);
	assert_int_equal(seen_nfds, 1);
	assert_string_equal(seen_add.path, fake.path);
	assert_int_equal(seen_add.policy, IPN_POLICY_SWITCH);
	assert_int_equal(seen_add.mtu, 9000);
	assert_int_equal(seen_add.numnodes, 0);
	assert_int_equal(seen_add.mode, 0770);
	assert_int_equal(seen_add.persistent, 1);
}

static void net_add_defaults(void **state)
{
	struct stat st;

	fake.answer = answer_well;
	assert_int_equal(run(cmd_net_add, "net add @"), CLI_OK);
	assert_int_equal(lstat(fake.path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0755);
	assert_int_equal(seen_add.policy, IPN_POLICY_BROADCAST);
	assert_int_equal(seen_add.mode, 0777);
}

static void net_add_refused_leaves_nothing(void **state)
{
	char dir[128], line[256];

	fake.answer = answer_refuse;
	assert_int_equal(run(cmd_net_add, "net add @"), CLI_FAILED);
	assert_text(err.text, "net add: @: uid 1 has 64 networks, the most a user may have\n");
	assert_false(exists(fake.path));

	snprintf(dir, sizeof(dir), "%s/new", fake.dir);
	snprintf(line, sizeof(line), "net add %s/lan", dir);
	assert_int_equal(run(cmd_net_add, line), CLI_FAILED);
	assert_false(exists(dir));
}

static void net_add_makes_one_directory_not_two(void **state)
{
	char path[200], line[256];
	struct stat st;

	fake.answer = answer_well;
	snprintf(line, sizeof(line), "net add %s/a/b/lan", fake.dir);
	assert_int_equal(run(cmd_net_add, line), CLI_FAILED);
	assert_text(err.text, "net add: %/a/b/lan: directory %/a/b: No such file or directory "
			      "(make the directory first: mkdir -p %/a/b)\n");
	snprintf(path, sizeof(path), "%s/a", fake.dir);
	assert_false(exists(path));

	snprintf(line, sizeof(line), "net add %s/./a/../a/lan", fake.dir);
	assert_int_equal(run(cmd_net_add, line), CLI_FAILED);
	snprintf(line, sizeof(line), "net add %s/a/lan", fake.dir);
	assert_int_equal(run(cmd_net_add, line), CLI_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	snprintf(path, sizeof(path), "%s/a/lan", fake.dir);
	assert_string_equal(seen_add.path, path);
	assert_int_equal(unlink(path), 0);
}

static void net_add_gives_the_real_path(void **state)
{
	char link[128], line[256];

	fake.answer = answer_well;
	snprintf(link, sizeof(link), "%s/link", fake.dir);
	assert_int_equal(symlink(fake.dir, link), 0);
	snprintf(line, sizeof(line), "net add %s/.//lan", link);
	assert_int_equal(run(cmd_net_add, line), CLI_OK);
	assert_string_equal(seen_add.path, fake.path);
}

static void net_add_bad_paths(void **state)
{
	static const struct {
		const char *line;
		const char *text;
	} rows[] = {
		{ "net add /tmp/", "net add: /tmp/: is the name of a directory (add a name for the "
				   "network)\n" },
		{ "net add ..", "net add: ..: is the name of a directory (add a name for the "
				"network)\n" },
		{ "net add /", "net add: /: is the name of a directory (add a name for the "
			       "network)\n" },
		{ "net add /dev/null/x",
		  "net add: /dev/null/x: cannot make the socket: Not a directory\n" },
		{ "net add /tmp/" LONG,
		  "net add: /tmp/" LONG ": too long for a network's path (107 bytes at most)\n" },
	};

	fake.answer = answer_well;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(run(cmd_net_add, rows[i].line), CLI_FAILED);
		assert_string_equal(err.text, rows[i].text);
	}
	assert_int_equal(fake.requests, 0);
}

static void net_add_where_something_is(void **state)
{
	struct stat st;

	fake.answer = answer_well;
	close(open(fake.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(run(cmd_net_add, "net add @"), CLI_FAILED);
	assert_text(err.text, "net add: @: exists and is not an IPN network (remove the file, or "
			      "choose another path)\n");
	assert_int_equal(lstat(fake.path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	unlink(fake.path);

	assert_int_equal(mknod(fake.path, S_IFSOCK | 0700, 0), 0);
	assert_int_equal(run(cmd_net_add, "net add @"), CLI_FAILED);
	assert_text(err.text, "net add: @: is a network already (see: ipn-fabric net show @)\n");
	fake.answer = answer_no_network;
	assert_int_equal(run(cmd_net_add, "net add @"), CLI_FAILED);
	assert_text(err.text, "net add: @: is the socket of another program, or of a network that "
			      "is gone (if nothing uses it: rm @)\n");
	assert_true(exists(fake.path));

	unlink(fake.path);
	assert_int_equal(symlink("/nowhere", fake.path), 0);
	assert_int_equal(run(cmd_net_add, "net add @"), CLI_FAILED);
	assert_text(err.text, "net add: @: exists and is not an IPN network (remove the file, or "
			      "choose another path)\n");
}

static void net_del_removes_the_path(void **state)
{
	struct stat st;

	assert_int_equal(mknod(fake.path, S_IFSOCK | 0700, 0), 0);
	assert_int_equal(lstat(fake.path, &st), 0);
	fake.answer = answer_no_network;
	assert_int_equal(run(cmd_net_del, "net del @"), CLI_FAILED);
	assert_text(err.text, "net del: @: is not an IPN network (make one with: ipn-fabric net "
			      "add PATH)\n");
	assert_true(exists(fake.path));
	fake.answer = answer_well;
	assert_int_equal(run(cmd_net_del, "net del @"), CLI_OK);
	assert_int_equal(seen_inode.st_ino, st.st_ino);
	assert_false(exists(fake.path));
	assert_int_equal(run(cmd_net_del, "net del @"), CLI_FAILED);
	assert_text(err.text, "net del: @: no such file or directory (ipn-fabric net show lists "
			      "the networks)\n");
}

static void net_del_through_a_link_removes_the_socket(void **state)
{
	char line[256], link[128];

	fake.answer = answer_well;
	assert_int_equal(mknod(fake.path, S_IFSOCK | 0700, 0), 0);
	snprintf(link, sizeof(link), "%s/link", fake.dir);
	assert_int_equal(symlink("lan", link), 0);
	snprintf(line, sizeof(line), "net del %s", link);
	assert_int_equal(run(cmd_net_del, line), CLI_OK);
	assert_false(exists(fake.path));
	assert_true(exists(link));
}

static void attach_prints_the_port(void **state)
{
	json_t *port;

	fake.answer = answer_well;
	assert_int_equal(mknod(fake.path, S_IFSOCK | 0700, 0), 0);
	assert_int_equal(run(cmd_attach, "attach @ --tap vm0 --descr guest"), CLI_OK);
	assert_string_equal(out.text, "port 3 tap vm0\n");
	assert_int_equal(seen_nfds, 1);
	assert_int_equal(seen_attach.kind, IPN_KIND_TAP);
	assert_int_equal(seen_attach.port, -1);
	assert_string_equal(seen_attach.name, "vm0");
	assert_string_equal(seen_attach.descr, "guest");

	assert_int_equal(run(cmd_attach, "attach @ --veth eth0:/proc/self/ns/net --port 9"),
			 CLI_OK);
	assert_string_equal(out.text, "port 3 veth eth0\n");
	assert_int_equal(seen_nfds, 2);
	assert_int_equal(seen_attach.port, 9);

	assert_int_equal(run(cmd_attach, "attach @ --host fifteen-letters --json"), CLI_OK);
	port = json_loads(out.text, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(port, "port")), 3);
	assert_string_equal(json_string_value(json_object_get(port, "kind")), "host");
	assert_string_equal(json_string_value(json_object_get(port, "name")), "fifteen-letters");
	json_decref(port);
}

static void attach_failures(void **state)
{
	fake.answer = answer_with_path;
	assert_int_equal(run(cmd_attach, "attach @ --tap vm0"), CLI_FAILED);
	assert_text(err.text, "attach: @: no such file or directory (ipn-fabric net show lists the "
			      "networks)\n");
	assert_int_equal(mknod(fake.path, S_IFSOCK | 0700, 0), 0);
	assert_int_equal(run(cmd_attach, "attach @ --tap vm0"), CLI_FAILED);
	assert_text(err.text, "attach: @: is full\n");
	assert_int_equal(run(cmd_attach, "attach @ --veth a:no-such-netns"), CLI_FAILED);
	assert_string_equal(err.text, "attach: no-such-netns: no such network namespace (ip netns "
				      "add no-such-netns)\n");
	assert_int_equal(run(cmd_attach, "attach @ --veth a:/no/such"), CLI_FAILED);
	assert_string_equal(err.text, "attach: /no/such: cannot open the network namespace: No "
				      "such file or directory\n");
	fake.answer = answer_short;
	assert_int_equal(run(cmd_attach, "attach @ --tap vm0"), CLI_FAILED);
}

static void show_is_one_object(void **state)
{
	json_t *all, *fabric;

	fake.answer = answer_well;
	assert_int_equal(run(cmd_show, "show --json"), CLI_OK);
	all = json_loads(out.text, 0, NULL);
	assert_int_equal(json_object_size(all), 3);
	fabric = json_object_get(all, "fabric");
	assert_int_equal(json_integer_value(json_object_get(fabric, "pid")), 42);
	assert_string_equal(json_string_value(json_object_get(fabric, "hook")), "tcx");
	assert_int_equal(json_array_size(json_object_get(all, "networks")), 1);
	assert_int_equal(json_array_size(json_object_get(all, "ports")), 1);
	json_decref(all);

	assert_int_equal(run(cmd_show, "show"), CLI_OK);
	assert_ptr_equal(strstr(out.text, "pid         42\n"), out.text);
	assert_non_null(strstr(out.text, "\n\nNETWORK  PORT  KIND  NAME"));
}

static void stats_and_fdb_in_both_forms(void **state)
{
	fake.answer = answer_well;
	assert_int_equal(mknod(fake.path, S_IFSOCK | 0700, 0), 0);
	assert_int_equal(run(cmd_stats, "stats @"), CLI_OK);
	assert_int_equal(seen_nfds, 1);
	assert_non_null(strstr(out.text, "IN-PKTS"));
	assert_int_equal(run(cmd_fdb_show, "fdb show @"), CLI_OK);
	assert_string_equal(out.text, "MAC                VLAN  PORT  AGE\n"
				      "02:00:00:00:00:01     0     3    5\n");
	assert_int_equal(run(cmd_fdb_show, "fdb show @ --json"), CLI_OK);
	assert_non_null(strstr(out.text, "\"mac\": \"02:00:00:00:00:01\""));
}

static void detach_names_the_port(void **state)
{
	fake.answer = answer_well;
	assert_int_equal(mknod(fake.path, S_IFSOCK | 0700, 0), 0);
	assert_int_equal(run(cmd_detach, "detach @ --port 3"), CLI_OK);
	assert_string_equal(out.text, "");
	fake.answer = answer_refuse;
	assert_int_equal(run(cmd_detach, "detach @ --port 3"), CLI_FAILED);
}

static void down_waits_until_the_manager_is_gone(void **state)
{
	fake.answer = answer_well;
	assert_int_equal(run(cmd_down, "down"), CLI_OK);
	assert_string_equal(err.text, "");
	fake.answer = answer_refuse;
	assert_int_equal(run(cmd_down, "down"), CLI_FAILED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_start, fake_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_manager_says_how_to_start_one),
		TEST(lists_come_whole_in_pages),
		TEST(nonsense_from_the_manager_is_an_error),
		TEST(manager_that_dies_is_an_error),
		TEST(net_add_makes_the_socket_with_mode_and_umask),
		TEST(net_add_defaults),
		TEST(net_add_refused_leaves_nothing),
		TEST(net_add_makes_one_directory_not_two),
		TEST(net_add_gives_the_real_path),
		TEST(net_add_bad_paths),
		TEST(net_add_where_something_is),
		TEST(net_del_removes_the_path),
		TEST(net_del_through_a_link_removes_the_socket),
		TEST(attach_prints_the_port),
		TEST(attach_failures),
		TEST(show_is_one_object),
		TEST(stats_and_fdb_in_both_forms),
		TEST(detach_names_the_port),
		TEST(down_waits_until_the_manager_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
