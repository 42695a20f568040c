// SPDX-License-Identifier: GPL-2.0-or-later
/* Requests for interfaces. Rows have interfaces of their own names: the namespace is one. */
#include "conf.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>

static struct ifreq request(const char *name, int flags)
{
	struct ifreq ifr = { .ifr_flags = (short)flags };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return ifr;
}

static int conn(int fd, const char *name, int flags)
{
	struct ifreq ifr = request(name, flags);

	return X(ioctl)(fd, IPN_CONN_NETDEV, &ifr);
}

static int by_name(int fd, unsigned long what, const char *name)
{
	struct ifreq ifr = request(name, 0);

	return X(ioctl)(fd, what, &ifr);
}

static bool exists(const char *name)
{
	return if_nametoindex(name) != 0;
}

/* Interfaces and networks go a moment after the last descriptor. */
static void until_gone(const char *name)
{
	for (int i = 0; exists(name); i++) {
		if (i == LONG_MS / 5)
			FAIL("%s does not go", name);
		usleep(5000);
	}
}

static int tap(const char *path, const char *name)
{
	int fd = bound(path);

	OK(conn(fd, name, IPN_NODEFLAG_TAP));
	return fd;
}

/* A raw socket on an interface, up. */
static int wire(const char *name)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(0x88b6),
				    .sll_ifindex = (int)if_nametoindex(name) };
	int fd = (int)OK(socket(AF_PACKET, SOCK_RAW, htons(0x88b6)));
	struct timeval tv = { 5, 0 };

	EQ(command("ip link set %s up", name), 0);
	OK(bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	return fd;
}

static const unsigned char hello[60] = "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\1\x88\xb6 hello";
static const unsigned char reply[60] = "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\2\x88\xb6 reply";

/* Reads until this frame comes: hosts say things of their own on new interfaces. */
static void wire_gets(int fd, const unsigned char *wanted)
{
	unsigned char buf[2000];

	do
		OK(recv(fd, buf, sizeof(buf), 0));
	while (memcmp(buf, wanted, 60));
}

static void member_gets(int fd, const unsigned char *wanted)
{
	unsigned char buf[2000];

	receive_timeout(fd, LONG_MS);
	do
		OK(X(recv)(fd, buf, sizeof(buf), 0));
	while (memcmp(buf, wanted, 60));
}

static void both_ways(int near, int far)
{
	EQ(OK(send(far, hello, 60, 0)), 60);
	member_gets(near, hello);
	EQ(OK(X(send)(near, reply, 60, 0)), 60);
	wire_gets(far, reply);
}

static void tap_made(void)
{
	int fd = tap(NET, "conftap0");

	TRUE(exists("conftap0"));
	ERR(X(connect)(fd, NULL, 0), EISCONN); /* it counts as connected */
	both_ways(member(NET), wire("conftap0"));
}

static void tap_unnamed(void)
{
	int n = 0;

	while (n < 100) {
		char name[16];

		snprintf(name, sizeof(name), "ipn%d", n);
		if (!exists(name))
			break;
		n++;
	}
	{
		char name[16];

		snprintf(name, sizeof(name), "ipn%d", n);
		tap(NET, "");
		TRUE(exists(name));
	}
}

static void mac_of(const char *name, unsigned char *mac)
{
	struct ifreq ifr = request(name, 0);
	int fd = (int)OK(socket(AF_INET, SOCK_DGRAM, 0));

	OK(ioctl(fd, SIOCGIFHWADDR, &ifr));
	memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
	OK(close(fd));
}

static void tap_mac(void)
{
	unsigned char a[6], b[6];

	tap(NET, "confmac0");
	tap("other", "confmac1");
	mac_of("confmac0", a);
	mac_of("confmac1", b);
	TRUE(!(a[0] & 1) && (a[0] & 2));
	TRUE(memcmp(a, b, 6));
}

static void tap_set_mac(void)
{
	const unsigned char wanted[6] = { 2, 1, 2, 3, 4, 5 };
	int fd = tap(NET, "confset0"), plain = bound("other");
	struct ifreq ifr = request("confset0", 0);
	unsigned char now[6];

	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, wanted, 6);
	OK(X(ioctl)(fd, SIOCSIFHWADDR, &ifr));
	mac_of("confset0", now);
	TRUE(!memcmp(now, wanted, 6));
	ERR(X(ioctl)(plain, SIOCSIFHWADDR, &ifr), EADDRNOTAVAIL);
	ERR(X(ioctl)(new_socket(IPN_ANY), SIOCSIFHWADDR, &ifr), EADDRNOTAVAIL);
}

static void tap_ends(void)
{
	int fd = tap(NET, "confend0");

	OK(X(close)(fd));
	until_gone("confend0");
	ERR(try_connect(new_socket(IPN_ANY), NET), ECONNREFUSED);
}

static void tap_errors(void)
{
	int fd = new_socket(IPN_BROADCAST), other;

	ERR(conn(fd, "conferr0", IPN_NODEFLAG_TAP), ENOTCONN);
	set_int(fd, IPN_SO_NUMNODES, 1);
	OK(try_bind(fd, NET));
	ERR(conn(fd, "conferr0", 0), EINVAL);
	ERR(conn(fd, "conferr0", IPN_NODEFLAG_TAP | IPN_NODEFLAG_GRAB), EINVAL);
	ERR(conn(fd, "no/name", IPN_NODEFLAG_TAP), EINVAL);
	other = member(NET);
	ERR(conn(other, "conferr0", IPN_NODEFLAG_TAP), EISCONN);
	ERR(conn(fd, "conferr0", IPN_NODEFLAG_TAP), EADDRNOTAVAIL);
	TRUE(X(ioctl)(fd, IPN_CONN_NETDEV, NULL) == -1);
	OK(X(close)(other));
	OK(conn(fd, "conferr0", IPN_NODEFLAG_TAP));
	ERR(conn(fd, "conferr1", IPN_NODEFLAG_TAP), EISCONN);
	TRUE(!exists("conferr1"));
}

static void no_right(void)
{
	int pid;

	bound(NET);
	EQ(command("ip link add confnr0 type veth peer name confnr1p"), 0);
	pid = child_as(NOBODY);
	if (!pid) {
		int fd = bound_to(NET, IPN_ANY);
		struct ifreq ifr = request("confnr0", 0);

		ERR(conn(fd, "confnr1", IPN_NODEFLAG_TAP), EPERM);
		ERR(conn(fd, "confnr0", IPN_NODEFLAG_GRAB), EPERM);
		ERR(by_name(fd, IPN_JOIN_NETDEV, "confnr0"), EPERM);
		ERR(by_name(new_socket(IPN_ANY), IPN_SETPERSIST_NETDEV, "confnr0"), EPERM);
		ERR(by_name(new_socket(IPN_ANY), IPN_CLRPERSIST_NETDEV, "confnr0"), EPERM);
		ifr.ifr_hwaddr.sa_family = 1; /* Ethernet */
		ERR(X(ioctl)(fd, SIOCSIFHWADDR, &ifr), EPERM);
		_exit(0);
	}
	join_child(pid);
	EQ(command("ip link del confnr0"), 0);
}

static void pair(const char *near, const char *far)
{
	EQ(command("ip link add %s type veth peer name %s && ip link set %s up && "
		   "ip link set %s up",
		   near, far, near, far),
	   0);
}

static void grab(void)
{
	int fd = bound(NET), far;

	pair("confgrab0", "confgrab1");
	far = wire("confgrab1");
	OK(conn(fd, "confgrab0", IPN_NODEFLAG_GRAB));
	ERR(X(connect)(fd, NULL, 0), EISCONN);
	both_ways(member(NET), far);
	EQ(command("ip link del confgrab0"), 0);
}

static void grab_host_copy(void)
{
	int fd = bound(NET), host, far, ear;

	pair("confcopy0", "confcopy1");
	host = wire("confcopy0");
	far = wire("confcopy1");
	OK(conn(fd, "confcopy0", IPN_NODEFLAG_GRAB));
	ear = member(NET);
	EQ(OK(send(far, hello, 60, 0)), 60);
	wire_gets(host, hello);
	member_gets(ear, hello);
	EQ(command("ip link del confcopy0"), 0);
}

static void grab_promiscuous(void)
{
	int fd = bound(NET);

	EQ(command("ip link add confprom0 type veth peer name confprom0p"), 0);
	EQ(command("ip -d link show confprom0 | grep -q 'promiscuity 0'"), 0);
	OK(conn(fd, "confprom0", IPN_NODEFLAG_GRAB));
	EQ(command("ip -d link show confprom0 | grep -q 'promiscuity 1'"), 0);
	OK(X(close)(fd));
	EQ(command("i=0; until ip -d link show confprom0 | grep -q 'promiscuity 0'; do "
		   "i=$((i+1)); [ $i -lt 500 ] || exit 1; sleep 0.01; done"),
	   0);
	EQ(command("ip link del confprom0"), 0); /* grabbed is not owned: it was still there */
}

static void grab_errors(void)
{
	int fd = bound(NET), other = bound("other");

	ERR(conn(fd, "confnone0", IPN_NODEFLAG_GRAB), EINVAL);
	ERR(conn(fd, "", IPN_NODEFLAG_GRAB), EINVAL);
	ERR(conn(fd, "lo", IPN_NODEFLAG_GRAB), EINVAL);
	EQ(command("ip link add confbusy0 type veth peer name confbusy0p"), 0);
	OK(conn(fd, "confbusy0", IPN_NODEFLAG_GRAB));
	ERR(conn(other, "confbusy0", IPN_NODEFLAG_GRAB), EBUSY);
	ERR(conn(new_socket(IPN_ANY), "confbusy0", IPN_NODEFLAG_GRAB), ENOTCONN);
	EQ(command("ip link del confbusy0"), 0);
}

static void persist(void)
{
	int fd = tap(NET, "confper0"), again;

	OK(X(ioctl)(fd, IPN_SETPERSIST, 1));
	OK(X(close)(fd));
	again = bound(NET); /* the network lives, by its interface alone */
	TRUE(exists("confper0"));
	OK(by_name(again, IPN_JOIN_NETDEV, "confper0"));
	OK(X(ioctl)(again, IPN_SETPERSIST, 0));
	OK(X(close)(again));
	until_gone("confper0");
	ERR(try_connect(new_socket(IPN_ANY), NET), ECONNREFUSED);
}

static void persist_errors(void)
{
	ERR(X(ioctl)(bound(NET), IPN_SETPERSIST, 1), ENODEV);
	ERR(X(ioctl)(founder("other"), IPN_SETPERSIST, 1), ENODEV);
}

static void join(void)
{
	struct ifreq ifr = { 0 };
	int fd = tap(NET, "confjoin0"), second = bound(NET), other = bound("other");

	ERR(by_name(second, IPN_JOIN_NETDEV, "confjoin0"), EADDRNOTAVAIL); /* controlled */
	ERR(by_name(second, IPN_JOIN_NETDEV, "confnone0"), EADDRNOTAVAIL);
	ERR(by_name(second, IPN_JOIN_NETDEV, "lo"), EADDRNOTAVAIL);
	OK(X(ioctl)(fd, IPN_SETPERSIST, 1));
	ERR(by_name(second, IPN_JOIN_NETDEV, "confjoin0"), EADDRNOTAVAIL);
	OK(X(close)(fd));
	/* the manager notices the end a little later */
	for (int i = 0; i < 500; i++) {
		if (!by_name(other, IPN_JOIN_NETDEV, "confjoin0") || errno != EADDRNOTAVAIL)
			break;
		usleep(10000);
	}
	ERR(by_name(other, IPN_JOIN_NETDEV, "confjoin0"), EPERM); /* of another network */
	ifr.ifr_ifindex = (int)if_nametoindex("confjoin0");
	OK(X(ioctl)(second, IPN_JOIN_NETDEV, &ifr)); /* by index */
	ERR(X(connect)(second, NULL, 0), EISCONN);
	OK(X(ioctl)(second, IPN_SETPERSIST, 0));
	OK(X(close)(second));
	until_gone("confjoin0");
}

static void admin(void)
{
	int fd = tap(NET, "confadm0"), admin_fd = new_socket(IPN_ANY);

	OK(by_name(admin_fd, IPN_SETPERSIST_NETDEV, "confadm0"));
	OK(X(close)(fd));
	TRUE(exists("confadm0"));
	OK(try_connect(new_socket(IPN_ANY), NET));
	ERR(by_name(admin_fd, IPN_SETPERSIST_NETDEV, "confnone0"), EADDRNOTAVAIL);
	ERR(by_name(admin_fd, IPN_CLRPERSIST_NETDEV, "confnone0"), EADDRNOTAVAIL);
	OK(by_name(admin_fd, IPN_CLRPERSIST_NETDEV, "confadm0"));
	until_gone("confadm0"); /* nobody controlled it: at once */
}

static void admin_last(void)
{
	int fd = tap(NET, "conflast0"), admin_fd = new_socket(IPN_ANY);

	OK(X(ioctl)(fd, IPN_SETPERSIST, 1));
	OK(by_name(admin_fd, IPN_CLRPERSIST_NETDEV, "conflast0"));
	TRUE(exists("conflast0")); /* its socket controls it */
	OK(by_name(admin_fd, IPN_SETPERSIST_NETDEV, "conflast0"));
	OK(X(close)(fd));
	OK(by_name(admin_fd, IPN_CLRPERSIST_NETDEV, "conflast0"));
	until_gone("conflast0");
	ERR(try_connect(new_socket(IPN_ANY), NET), ECONNREFUSED);
}

static const struct row rows_netdev_table[] = {
	{ "netdev.tap", "TAP: an interface of the host on the network", tap_made },
	{ "netdev.tap_unnamed", "without a name it is ipn%d", tap_unnamed },
	{ "netdev.tap_mac", "its address is random", tap_mac },
	{ "netdev.set_mac", "SIOCSIFHWADDR sets it; not a TAP: EADDRNOTAVAIL", tap_set_mac },
	{ "netdev.tap_ends", "it ends with its socket", tap_ends },
	{ "netdev.tap_errors", "ENOTCONN, EISCONN, EINVAL, EADDRNOTAVAIL", tap_errors },
	{ "netdev.no_right", "without CAP_NET_ADMIN: EPERM", no_right },
	{ "netdev.grab", "GRAB: what it receives enters the network, and the other way", grab },
	{ "netdev.grab_copy", "the host still gets its copy", grab_host_copy },
	{ "netdev.grab_promiscuous", "promiscuous while grabbed, and left as it was",
	  grab_promiscuous },
	{ "netdev.grab_errors", "missing or loopback: EINVAL; grabbed already: EBUSY",
	  grab_errors },
	{ "netdev.persist", "IPN_SETPERSIST: it outlives its socket; 0: no more", persist },
	{ "netdev.persist_errors", "no interface: ENODEV", persist_errors },
	{ "netdev.join", "IPN_JOIN_NETDEV: takes it over; EADDRNOTAVAIL, EPERM", join },
	{ "netdev.admin", "IPN_SETPERSIST_NETDEV, IPN_CLRPERSIST_NETDEV: by name", admin },
	{ "netdev.admin_last", "the last node's end is the network's", admin_last },
};
ROWS(rows_netdev);
