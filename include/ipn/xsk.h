/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libipn: a port for a program that moves Ethernet frames by the million, over an AF_XDP socket.
 *
 * An operator makes the port (ipn-fabric attach PATH --xsk NAME); a process with both r and w on
 * PATH takes it, without privilege, and has it until ipn_xsk_close() or its end. One process at a
 * time. The port sees the frames of the network's policy, whole and with complete checksums, and
 * sends frames as a container does.
 *
 * Frames are not copied by these calls: they stand in memory shared with the kernel. A frame is
 * the program's from ipn_xsk_recv() or ipn_xsk_alloc() until it gives it to ipn_xsk_send() or
 * ipn_xsk_free(). What was received may be changed and sent on as it stands. A program that keeps
 * half of all frames or more receives nothing until it gives some back.
 *
 * On failure: -1 (or NULL) and errno. Not for two threads at a time on one port.
 */
#ifndef IPN_XSK_H
#define IPN_XSK_H

#include <poll.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ipn_xsk;

struct ipn_xsk_frame {
	void *data;
	uint32_t len;
	uint32_t room; /* bytes there are at data, the longest frame of the network at most */
};

struct ipn_xsk_info {
	uint32_t port;       /* number in the network */
	uint32_t ifindex;    /* of NAME */
	uint32_t mtu;        /* longest frame, bytes */
	uint32_t frames;     /* that the port has, for both directions together */
	uint32_t frame_size; /* bytes from one to the next */
};

/*
 * Takes the port of that name of the network at path; NULL: the first that nobody has. Errors:
 * ENETDOWN no fabric runs here; what open(path) says; ECONNREFUSED the path is no live network;
 * EACCES without r and w; EPERM without CAP_NET_RAW; ENOENT no such AF_XDP port; EBUSY another has
 * it; EOPNOTSUPP it was attached with --own; EDQUOT; ENOMEM.
 */
struct ipn_xsk *ipn_xsk_open(const char *path, const char *name);
void ipn_xsk_close(struct ipn_xsk *xsk);
void ipn_xsk_info(const struct ipn_xsk *xsk, struct ipn_xsk_info *info);

/* Takes up to n frames that have come. Returns how many: 0 if none is there. Never waits. */
int ipn_xsk_recv(struct ipn_xsk *xsk, struct ipn_xsk_frame *frames, unsigned int n);

/* Takes up to n empty frames, len 0, to write into. Returns how many: 0 if none is free now. */
int ipn_xsk_alloc(struct ipn_xsk *xsk, struct ipn_xsk_frame *frames, unsigned int n);

/*
 * Sends the first of n frames, as many as there is room for. Returns how many: the others remain
 * the program's. data may have been moved within the frame. Errors: EINVAL a frame is not the
 * program's, or does not fit; ENETDOWN the port was taken away. With EINVAL none is sent.
 */
int ipn_xsk_send(struct ipn_xsk *xsk, const struct ipn_xsk_frame *frames, unsigned int n);

/* Gives n frames back. EINVAL: one is not the program's; none is taken then. */
int ipn_xsk_free(struct ipn_xsk *xsk, const struct ipn_xsk_frame *frames, unsigned int n);

/*
 * Waits until there is something to receive (POLLIN) or room to send (POLLOUT), at most timeout_ms
 * (-1: for ever). Returns which, 0 when the time is over. Errors: EINTR; ENETDOWN the port was
 * taken away, or the interface is down.
 */
int ipn_xsk_wait(struct ipn_xsk *xsk, short events, int timeout_ms);
/* The socket, for poll() of one's own. What was sent may need ipn_xsk_wait() to go out entirely. */
int ipn_xsk_fd(const struct ipn_xsk *xsk);

#ifdef __cplusplus
}
#endif

#endif
