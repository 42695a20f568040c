/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of all kinds of ports. Each stands in the file of its kind. */
#ifndef IPN_MANAGER_KINDS_H
#define IPN_MANAGER_KINDS_H

#include <ipn/abi.h>

#include "manager/core/port_kind.h"

extern const struct port_kind port_kind_proc;
extern const struct port_kind port_kind_tap;
extern const struct port_kind port_kind_veth;
extern const struct port_kind port_kind_host;
extern const struct port_kind port_kind_grab;
extern const struct port_kind port_kind_cable;
extern const struct port_kind port_kind_xsk;
extern const struct port_kind port_kind_sock;

/* The table, by enum ipn_kind; NULL: there is no such kind. */
extern const struct port_kind *const port_kinds[IPN_KINDS];

#endif
