/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_FDSTORE_STORE_H
#define IPN_MANAGER_FDSTORE_STORE_H

/*
 * The process itself, with the descriptors FDSTORE_FD_* of protocol.h. args: the run directory, and
 * the inode of the socket in it. Returns its exit status.
 */
int fdstore_run(int nargs, char *const args[]);

#endif
