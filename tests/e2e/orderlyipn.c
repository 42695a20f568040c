// SPDX-License-Identifier: GPL-2.0-or-later
/* tests/plain/orderly.c as a program of libipn. */
#include <ipn/ipn.h>
#include <poll.h>
#include <sys/socket.h>

#define socket ipn_socket
#define connect ipn_connect
#define shutdown ipn_shutdown
#define setsockopt ipn_setsockopt
#define send ipn_send
#define recv ipn_recv
#define poll(fds, n, timeout) ipn_poll(fds, n, timeout)
#include "../plain/orderly.c" /* NOLINT(bugprone-suspicious-include) */
