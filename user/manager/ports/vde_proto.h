/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control protocol of VDE switches, version 3, as libvdeplug and user-mode-linux speak it.
 *
 * A client connects a stream socket to DIR/ctl and sends one request: three numbers, a struct
 * sockaddr_un with the name of its datagram socket, and, to the end of the packet, its description.
 * The answer is a struct sockaddr_un, the datagram socket it is to send to. The stream stays open
 * as long as the client is there. All numbers are in host order. The lowest byte of the type is 0,
 * and the rest the port number that is asked for, 0 for any.
 */
#ifndef IPN_VDE_PROTO_H
#define IPN_VDE_PROTO_H

#include <ipn/abi.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define VDE_MAGIC 0xfeedfaceU
#define VDE_VERSION 3
#define VDE_REQUEST_MIN (12 + sizeof(struct sockaddr_un))
#define VDE_REQUEST_MAX (VDE_REQUEST_MIN + IPN_DESCR_MAX)

struct vde_request {
	struct sockaddr_un addr;
	socklen_t addr_len;
	__u32 port; /* 0: any */
	char descr[IPN_DESCR_MAX];
};

/*
 * Looks at what a client sent. -EAGAIN: not all of it is there; -EBADMSG wrong magic, -EPROTO wrong
 * version, -EOPNOTSUPP another type, -EINVAL no name of a socket that can be used: neither an
 * absolute path nor abstract.
 */
int vde_request_parse(const void *data, size_t len, struct vde_request *out);
/* Answer: a client that reads fewer bytes than this is no client. -ENAMETOOLONG */
int vde_reply_make(const char *path, struct sockaddr_un *out);

#endif
