// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/ports/kinds.h"

#include <stddef.h>

const struct port_kind *const port_kinds[IPN_KINDS] = {
	[IPN_KIND_PROC] = &port_kind_proc, [IPN_KIND_TAP] = &port_kind_tap,
	[IPN_KIND_VETH] = &port_kind_veth, [IPN_KIND_HOST] = &port_kind_host,
	[IPN_KIND_GRAB] = &port_kind_grab, [IPN_KIND_CABLE] = &port_kind_cable,
	[IPN_KIND_XSK] = &port_kind_xsk,   [IPN_KIND_SOCK] = &port_kind_sock,
};
