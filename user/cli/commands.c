// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/cli.h"

#include <ipn/l3.h>

#define PATH                                                                  \
	{                                                                     \
		CLI_PATH, NULL, "PATH", CLI_TYPE_NETWORK, 0, 0, CLI_REQUIRED, \
			"path of the network"                                 \
	}
#define PATH_OPTIONAL                                                                  \
	{                                                                              \
		CLI_PATH, NULL, "PATH", CLI_TYPE_NETWORK, 0, 0, 0, "only this network" \
	}
#define AT_PORT(flags)                                                                   \
	{                                                                                \
		CLI_PORT, "--port", "N", CLI_TYPE_NUMBER, 0, IPN_NET_PORTS - 1, (flags), \
			"port number"                                                    \
	}
#define TEXT(key, what, help)                                              \
	{                                                                  \
		key, NULL, what, CLI_TYPE_TEXT, 0, 0, CLI_REQUIRED, (help) \
	}
#define JSON                                                                                 \
	{                                                                                    \
		CLI_JSON, "--json", NULL, CLI_TYPE_FLAG, 0, 0, 0, "print JSON, for programs" \
	}

const struct cli_param cli_globals[CLI_MAX_PARAMS] = {
	{ CLI_RUN_DIR, "--run-dir", "DIR", CLI_TYPE_DIR, 0, 0, 0,
	  "directory of the control socket (default $IPN_FABRIC_RUN_DIR, or /run/ipn-fabric)" },
	{ CLI_BPFFS, "--bpffs", "DIR", CLI_TYPE_DIR, 0, 0, 0,
	  "BPF file system to pin in (default $IPN_FABRIC_BPFFS, or /sys/fs/bpf)" },
	{ CLI_HELP_FLAG, "--help", NULL, CLI_TYPE_FLAG, 0, 0, 0, "help on the command" },
	{ CLI_VERSION, "--version", NULL, CLI_TYPE_FLAG, 0, 0, 0, "print the version" },
};

const struct cli_command cli_commands[CLI_COMMANDS] = {
	[CLI_UP] = {
		.name = "up",
		.summary = "start the fabric",
		.text = "Returns when the fabric is ready. A fabric whose manager died is taken "
			"over as it is.",
		.params = {
			{ CLI_FOREGROUND, "--foreground", NULL, CLI_TYPE_FLAG, 0, 0, 0,
			  "stay, log to standard error, notify systemd" },
			{ CLI_CONFIG, "--config", "FILE", CLI_TYPE_FILE, 0, 0, 0,
			  "networks and ports to make, see ipn-fabric(8)" },
			{ CLI_NETNS, "--netns", "NAME", CLI_TYPE_NETNS, 0, 0, 0,
			  "network namespace of the fabric (default: the one it is started in)" },
		},
	},
	[CLI_DOWN] = {
		.name = "down",
		.summary = "stop the fabric and remove all it made",
		.text = "Also clears up after a fabric whose manager died.",
	},
	[CLI_NET_ADD] = {
		.name = "net add",
		.summary = "make a network",
		.text = "Makes a socket at PATH and the network it names. Who may read the path "
			"receives, who may write it sends, who may execute it manages the network.",
		.params = {
			PATH,
			{ CLI_POLICY, "--policy", "broadcast|switch|l3|NAME|N", CLI_TYPE_POLICY, 0,
			  0, 0, "who gets a message: all others (default), as on a switch, "
				"behind a router, or as a loaded policy says" },
			{ CLI_MTU, "--mtu", "N", CLI_TYPE_NUMBER, IPN_MTU_MIN, IPN_MTU_MAX, 0,
			  "longest message in bytes (default 1514)" },
			{ CLI_NODES, "--nodes", "N", CLI_TYPE_NUMBER, 1, IPN_NET_PORTS, 0,
			  "number of ports (default 32)" },
			{ CLI_POOL, "--pool", "N", CLI_TYPE_NUMBER, 1, IPN_POOL_MAX, 0,
			  "messages a process may be behind before it loses some (default 8)" },
			{ CLI_ROUTES, "--routes", "N", CLI_TYPE_NUMBER, 16, IPN_L3_ROUTES_MAX, 0,
			  "policy l3: size of each table of routes (default 4096)" },
			{ CLI_LOSSLESS, "--lossless", NULL, CLI_TYPE_FLAG, 0, 0, 0,
			  "when the pool is full, senders wait" },
			{ CLI_MODE, "--mode", "MODE", CLI_TYPE_MODE, 0, 0777, 0,
			  "permissions of the path, less the umask (default 0777)" },
		},
	},
	[CLI_NET_DEL] = {
		.name = "net del",
		.summary = "remove a network",
		.text = "Detaches all its ports and removes the path. A network whose path was "
			"removed or is out of reach is named by its number (net show --json), or "
			"by the path that it had.",
		.params = {
			{ CLI_PATH, NULL, "PATH", CLI_TYPE_NETWORK, 0, 0, CLI_ONE_OF,
			  "path of the network" },
			{ CLI_ID, "--id", "N", CLI_TYPE_NUMBER, 0, IPN_MAX_NETS - 1, CLI_ONE_OF,
			  "its number in the fabric" },
		},
	},
	[CLI_NET_SHOW] = {
		.name = "net show",
		.summary = "list the networks",
		.params = { PATH_OPTIONAL, JSON },
	},
	[CLI_ATTACH] = {
		.name = "attach",
		.summary = "attach an interface, or sockets, to a network",
		.text = "Makes the interface, unless it is grabbed. Prints the number of the port, "
			"its kind and name. Programs that connect to DIR become ports themselves.",
		.params = {
			PATH,
			{ CLI_TAP, "--tap", "NAME", CLI_TYPE_IFNAME, 0, 0, CLI_ONE_OF,
			  "a tap for a virtual machine" },
			{ CLI_VETH, "--veth", "NAME[:NETNS]", CLI_TYPE_VETH, 0, 0, CLI_ONE_OF,
			  "an interface in a network namespace, given as name or as path" },
			{ CLI_HOST, "--host", "NAME", CLI_TYPE_IFNAME, 0, 0, CLI_ONE_OF,
			  "an interface of the host itself" },
			{ CLI_GRAB, "--grab", "NAME", CLI_TYPE_IFNAME, 0, 0, CLI_ONE_OF,
			  "an interface that is there; the host keeps it, and its copies" },
			{ CLI_XSK, "--xsk", "NAME", CLI_TYPE_IFNAME, 0, 0, CLI_ONE_OF,
			  "an interface for an AF_XDP program (libipn: ipn_xsk_open)" },
			{ CLI_VDE, "--vde", "DIR", CLI_TYPE_DIR, 0, 0, CLI_ONE_OF,
			  "a directory where clients of VDE connect, as that of a vde_switch" },
			{ CLI_UNIX, "--unix", "FILE", CLI_TYPE_FILE, 0, 0, CLI_ONE_OF,
			  "a datagram socket for one program, such as QEMU -netdev dgram" },
			{ CLI_FRAMES, "--frames", "N", CLI_TYPE_NUMBER, IPN_XSK_FRAMES_MIN,
			  IPN_XSK_FRAMES_MAX, 0,
			  "--xsk: frames of its memory, a power of two (default 2048)" },
			{ CLI_FRAME_SIZE, "--frame-size", "B", CLI_TYPE_NUMBER, IPN_XSK_FRAME_SMALL,
			  IPN_XSK_FRAME_LARGE, 0,
			  "--xsk: bytes of each, 256 of them the kernel's (default 2048)" },
			{ CLI_OWN, "--own", NULL, CLI_TYPE_FLAG, 0, 0, 0,
			  "--xsk: the program makes the AF_XDP socket itself, as DPDK does" },
			{ CLI_PEER, "--peer", "FILE", CLI_TYPE_FILE, 0, 0, 0,
			  "with --unix: the program's socket (default: who writes first)" },
			{ CLI_MODE, "--mode", "MODE", CLI_TYPE_MODE, 0, 0777, 0,
			  "with --vde: of the directory; with --unix: of the socket (default "
			  "0700)" },
			{ CLI_STAYS, "--persist", NULL, CLI_TYPE_FLAG, 0, 0, 0,
			  "the port stays until `detach`, as it does without saying so" },
			{ CLI_PORT, "--port", "N", CLI_TYPE_NUMBER, 0, IPN_NET_PORTS - 1, 0,
			  "port number (default: the lowest that is free)" },
			{ CLI_DESCR, "--descr", "TEXT", CLI_TYPE_TEXT, 0, IPN_DESCR_MAX - 1, 0,
			  "description, shown by `show`" },
			JSON,
		},
	},
	[CLI_DETACH] = {
		.name = "detach",
		.summary = "take a port away",
		.text = "The interface of the port is removed, a grabbed one given back as it was "
			"found. A process there gets end of file. A cable goes with both its ends, "
			"a directory of VDE with its clients.",
		.params = {
			PATH,
			{ CLI_PORT, "--port", "N", CLI_TYPE_NUMBER, 0, IPN_NET_PORTS - 1,
			  CLI_ONE_OF, "port number" },
			{ CLI_VDE, "--vde", "DIR", CLI_TYPE_DIR, 0, 0, CLI_ONE_OF,
			  "as it was attached" },
			{ CLI_UNIX, "--unix", "FILE", CLI_TYPE_FILE, 0, 0, CLI_ONE_OF,
			  "as it was attached" },
		},
	},
	[CLI_CABLE] = {
		.name = "cable",
		.summary = "join two networks",
		.text = "What either network delivers to its port enters the other one there. A "
			"message crosses up to 8 cables. Prints the ports.",
		.params = {
			{ CLI_PATH, NULL, "PATH1", CLI_TYPE_NETWORK, 0, 0, CLI_REQUIRED,
			  "path of one network" },
			{ CLI_PATH2, NULL, "PATH2", CLI_TYPE_NETWORK, 0, 0, CLI_REQUIRED,
			  "path of the other" },
			{ CLI_PORT, "--port", "N", CLI_TYPE_NUMBER, 0, IPN_NET_PORTS - 1, 0,
			  "port number in PATH1 (default: the lowest that is free)" },
			{ CLI_PORT2, "--port2", "N", CLI_TYPE_NUMBER, 0, IPN_NET_PORTS - 1, 0,
			  "port number in PATH2 (the same)" },
			{ CLI_DESCR, "--descr", "TEXT", CLI_TYPE_TEXT, 0, IPN_DESCR_MAX - 1, 0,
			  "description, shown by `show`" },
			JSON,
		},
	},
	[CLI_UNCABLE] = {
		.name = "uncable",
		.summary = "remove the cable between two networks",
		.text = "`detach` of the port at either end does the same.",
		.params = {
			{ CLI_PATH, NULL, "PATH1", CLI_TYPE_NETWORK, 0, 0, CLI_REQUIRED,
			  "path of one network" },
			{ CLI_PATH2, NULL, "PATH2", CLI_TYPE_NETWORK, 0, 0, CLI_REQUIRED,
			  "path of the other" },
		},
	},
	[CLI_PERSIST] = {
		.name = "persist",
		.summary = "let the port of an interface outlive its program",
		.text = "Of an interface that a program made or grabbed by ipn_ioctl(). Ports made "
			"by `attach` are persistent from the beginning.",
		.params = {
			{ CLI_NAME, NULL, "NAME", CLI_TYPE_IFNAME, 0, 0, CLI_REQUIRED,
			  "the interface" },
			{ CLI_OFF, "--off", NULL, CLI_TYPE_FLAG, 0, 0, 0,
			  "it ends with its program: at once, if it has none" },
		},
	},
	[CLI_SHOW] = {
		.name = "show",
		.summary = "show the fabric and its ports",
		.params = { PATH_OPTIONAL, JSON },
	},
	[CLI_STATS] = {
		.name = "stats",
		.summary = "show what each port sent, received and lost",
		.text = "in: from the port into the fabric; out: to the port. Reasons of drops:",
		.params = { PATH_OPTIONAL, JSON },
	},
	[CLI_FDB_SHOW] = {
		.name = "fdb show",
		.summary = "show the addresses a switch network has learned",
		.params = { PATH, JSON },
	},
	[CLI_MONITOR] = {
		.name = "monitor",
		.summary = "print what happens, as it happens",
		.text = "A line for each join, leave, change of the number of readers and writers, "
			"policy loaded or unloaded, port that a policy refused, and each second "
			"for readers that lost messages. Ends with the manager.",
		.params = { PATH_OPTIONAL, JSON },
	},
	[CLI_POLICY_LOAD] = {
		.name = "policy load",
		.summary = "load a policy of one's own",
		.text = "FILE is a BPF object, made with the kit in ipn/policy.h. Needs "
			"CAP_NET_ADMIN.",
		.params = {
			{ CLI_FILE, NULL, "FILE", CLI_TYPE_FILE, 0, 0, CLI_REQUIRED,
			  "the object" },
			{ CLI_NUMBER, "--number", "N", CLI_TYPE_NUMBER, 0, 4294967295,
			  CLI_REQUIRED, "its number, for ipn_socket(); the fabric takes 4 to 63" },
			{ CLI_NAME, "--name", "NAME", CLI_TYPE_TEXT, 0, IPN_POLICY_NAME_MAX - 1,
			  CLI_REQUIRED, "its name, for `net add --policy`" },
		},
	},
	[CLI_QUOTA_SHOW] = {
		.name = "quota show",
		.summary = "show what users hold, and the most they may",
		.text = "A user is shown what is counted for it; root all users, and what they "
			"have together.",
		.params = { JSON },
	},
	[CLI_POLICY_LIST] = {
		.name = "policy list",
		.summary = "list the policies there are",
		.params = { JSON },
	},
	[CLI_POLICY_UNLOAD] = {
		.name = "policy unload",
		.summary = "unload a policy that no network uses",
		.params = {
			{ CLI_POLICY, NULL, "NAME|N", CLI_TYPE_POLICY, 0, 0, CLI_REQUIRED,
			  "the policy" },
		},
	},
	[CLI_ADDR_ADD] = {
		.name = "addr add",
		.summary = "give the router of an l3 network an address at a port",
		.text = "The subnet of the address is behind that port from then on. The port need "
			"not be attached yet.",
		.params = {
			PATH,
			TEXT(CLI_ADDRESS, "ADDR/LEN", "the address and the length of its prefix"),
			AT_PORT(CLI_REQUIRED),
			{ CLI_MTU, "--mtu", "N", CLI_TYPE_NUMBER, 68, IPN_MTU_MAX, 0,
			  "longest IP packet at the port (default: what the network allows)" },
		},
	},
	[CLI_ADDR_DEL] = {
		.name = "addr del",
		.summary = "take an address away",
		.params = {
			PATH,
			TEXT(CLI_ADDRESS, "ADDR/LEN", "the address as it was given"),
			AT_PORT(CLI_REQUIRED),
		},
	},
	[CLI_ADDR_SHOW] = {
		.name = "addr show",
		.summary = "list the addresses of the router",
		.params = { PATH, JSON },
	},
	[CLI_ROUTE_ADD] = {
		.name = "route add",
		.summary = "add a route to an l3 network",
		.params = {
			PATH,
			TEXT(CLI_ADDRESS, "PREFIX", "ADDR/LEN, or `default`"),
			TEXT(CLI_WORD, "via|port", "through a next hop, or straight to a port"),
			TEXT(CLI_VALUE, "ADDR|N", "which"),
			AT_PORT(0),
		},
	},
	[CLI_ROUTE_DEL] = {
		.name = "route del",
		.summary = "remove a route",
		.params = { PATH, TEXT(CLI_ADDRESS, "PREFIX", "as it was given") },
	},
	[CLI_ROUTE_SHOW] = {
		.name = "route show",
		.summary = "list the routes of an l3 network",
		.params = { PATH, JSON },
	},
	[CLI_ROUTE_LOAD] = {
		.name = "route load",
		.summary = "add many routes",
		.text = "Each line of FILE is PREFIX via ADDR, or PREFIX port N. Stops at the "
			"first that is refused; those before it are there.",
		.params = {
			PATH,
			{ CLI_FILE, NULL, "FILE", CLI_TYPE_FILE, 0, 0, CLI_REQUIRED, "the routes" },
		},
	},
	[CLI_NEIGH_ADD] = {
		.name = "neigh add",
		.summary = "say which Ethernet address a host of an l3 network has",
		.params = {
			PATH,
			TEXT(CLI_ADDRESS, "ADDR", "the address of the host"),
			TEXT(CLI_MAC, "MAC", "its Ethernet address"),
			AT_PORT(CLI_REQUIRED),
		},
	},
	[CLI_NEIGH_DEL] = {
		.name = "neigh del",
		.summary = "forget a neighbour",
		.params = {
			PATH,
			TEXT(CLI_ADDRESS, "ADDR", "the address of the host"),
			AT_PORT(CLI_REQUIRED),
		},
	},
	[CLI_NEIGH_SHOW] = {
		.name = "neigh show",
		.summary = "list the neighbours of an l3 network",
		.params = { PATH, JSON },
	},
	[CLI_SEND] = {
		.name = "send",
		.summary = "send each line of a file as a message",
		.params = {
			PATH,
			{ CLI_FILE, NULL, "FILE", CLI_TYPE_FILE, 0, 0, 0,
			  "what to send (default, and -: standard input)" },
		},
	},
	[CLI_RECV] = {
		.name = "recv",
		.summary = "print each message on a line",
		.params = {
			PATH,
			{ CLI_COUNT, "--count", "N", CLI_TYPE_NUMBER, 1, 4294967295, 0,
			  "stop after N messages" },
			{ CLI_TIMEOUT, "--timeout", "S", CLI_TYPE_SECONDS, 0, 1000000000, 0,
			  "stop when no message came for S seconds" },
			{ CLI_HEX, "--hex", NULL, CLI_TYPE_FLAG, 0, 0, 0, "print hexadecimal" },
			JSON,
		},
	},
	[CLI_RUN] = {
		.name = "run",
		.summary = "run a program that was written for sockets of AF_IPN",
		.text = "The program needs no change. Its options come after its name.",
		.params = {
			{ CLI_RUN_PROGRAM, NULL, "PROGRAM [ARGUMENT...]", CLI_TYPE_PROGRAM, 0, 0,
			  CLI_REQUIRED | CLI_REST, "what to run" },
		},
	},
	[CLI_HELP] = {
		.name = "help",
		.summary = "help on a command",
		.params = {
			{ CLI_TOPIC, NULL, "COMMAND", CLI_TYPE_COMMAND, 0, 0, 0, "a command" },
			{ CLI_SUBTOPIC, NULL, "", CLI_TYPE_COMMAND, 0, 0, CLI_HIDDEN,
			  "its second word" },
			{ CLI_WORDS, "--words", NULL, CLI_TYPE_FLAG, 0, 0, CLI_HIDDEN,
			  "what may come next, for the shell completion" },
		},
	},
};
