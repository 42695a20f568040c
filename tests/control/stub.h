/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel in memory, for tests of the manager that need none: linked in place of libbpf's system
 * calls, of libxdp's sockets, and of user/manager/kernel/link.c. user/manager/kernel/bpf.c is the
 * real one, compiled into stub/state.c.
 *
 *	maps         descriptors are real ones (memfd), so dup, close and mmap work; the values of
 *	             arrays are in them. A map ends when no descriptor and no other map has it
 *	programs     have a name and a descriptor, and do nothing but what stub/prog.c says
 *	links, pins  a pin is a small file; a link lives as long as its pin
 *	interfaces   a table; a tap of a process lives as long as its descriptor, which is a pipe
 *
 * Each call is counted. A call can be made to fail, and the manager can be made to die after the
 * n-th call that changes something: from then on no call has an effect, and what is stored into
 * mapped memory is taken back by stub_revive.
 *
 * One thread uses it, but for what the manager's threads call: ring_buffer and xsk functions.
 */
#ifndef IPN_TESTS_CONTROL_STUB_H
#define IPN_TESTS_CONTROL_STUB_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define STUB_CPUS 2

/* An empty kernel; the one before is gone. */
void stub_begin(void);
void stub_end(void);

/* --- calls --- */

unsigned long stub_calls(void);   /* of the kernel, ever */
unsigned long stub_changes(void); /* those that change something */
const char *stub_last_change(void);
/* The n-th call of this name from now on (NULL: of any) fails with this errno. n = 0: none does. */
void stub_fail(const char *call, unsigned long n, int err);
/* Has it failed already? */
bool stub_has_failed(void);
/*
 * The n-th change from now on is the last. at_once: what the manager stores into mapped memory
 * after it has no effect either; otherwise it has until the next change would have come.
 */
void stub_die_after(unsigned long n, bool at_once);
bool stub_dead(void);
/* Did it store something between its last change and its death, which was not at once? */
bool stub_stored(void);
/* The manager is gone: what it stored too late is taken back, and calls work again. */
void stub_revive(void);

/* --- maps and programs --- */

/* Descriptor of a shared map by its name (as "ipn_port_in"). -1: there is none. */
int stub_map(const char *name);
/* How many maps there are that nothing but descriptors or other maps keep. */
unsigned int stub_maps_made(void);
/* Descriptors that the stub itself has open. */
unsigned int stub_fds(void);
/* Entries of a hash; or entries of an array of maps that are set. */
unsigned int stub_count(const char *map);
/* Sockets of sock ports that this process has end with it. */
void stub_socks_exit(void);
/* What a callback of a loaded policy returns. */
void stub_policy_returns(int r);
/* How often a program was run, by name. */
unsigned int stub_runs(const char *prog);
/* uid of the sockets at the far ends of sock ports. */
void stub_sock_uid(__u32 uid);
/* bpf_object__load of a policy fails so, with these words of the verifier. 0: it is loaded. */
void stub_load_fails(int err, const char *words);
/* It takes so long. */
void stub_load_takes(unsigned int ms);

/* --- helpers that act as users --- */

/* From now on they are threads of this process, and act as nobody but it. */
void stub_asuser_threads(bool on);
unsigned int stub_helpers(void);
/* The manager has ended: so do they. */
void stub_helpers_end(void);

/* --- interfaces --- */

struct stub_if {
	struct stub_if *next;
	__u32 ifindex, flags, group, mtu, gso, peer, netns;
	__u16 type;
	bool running, clsact;
	int promisc;
	__u32 filters;
	int life; /* tap of a process: a pipe's end, whose other end is the tap; -1 */
	__u64 life_ino;
	char name[IPN_NAME_MAX], kind[16];
};

/* One of the host's, up. Returns its number. */
__u32 stub_if_add(const char *name);
struct stub_if *stub_if_find(const char *name);
struct stub_if *stub_if_get(__u32 ifindex);
struct stub_if *stub_if_first(void);
/* Somebody else removes it; or sets its carrier. The manager is told. */
void stub_if_del(__u32 ifindex);
void stub_if_running(__u32 ifindex, bool on);
/* Changes are lost: the next read of the watch says so. */
void stub_watch_lost(void);
/* Taps and AF_XDP sockets that nobody holds any more end. */
void stub_reap(void);

#endif
