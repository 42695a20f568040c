/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses: sockaddr_un with the family AF_IPN and a path. */
#ifndef IPN_ADDR_H
#define IPN_ADDR_H

#include <ipn/abi.h>
#include <sys/socket.h>

/* A path taken from an address: sun_path need not have a final NUL. */
#define ADDR_PATH_SIZE (IPN_PATH_MAX + 1)

/*
 * Takes the path out of an address, by the length rules of AF_UNIX.
 * -EINVAL: another family, no path, an abstract name, a length that cannot be.
 */
int addr_parse(const struct sockaddr *addr, socklen_t len, char path[ADDR_PATH_SIZE]);

/*
 * The path from the root, if that fits in IPN_PATH_MAX with its NUL; otherwise as given.
 * -ENAMETOOLONG when that does not fit either.
 */
int addr_absolute(const char *path, char out[IPN_PATH_MAX]);

/* Fills in an address for getsockname: cut to the room in *len, which becomes the real length. */
void addr_fill(const char *path, struct sockaddr *addr, socklen_t *len);

#endif
