// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/ports/vde_proto.h"

#include <sys/socket.h>

#include "common/text.h"
#include "common/util.h"

static int addr_take(const char *from, struct vde_request *out)
{
	struct sockaddr_un *addr = &out->addr;
	size_t len;

	memcpy(addr, from, sizeof(*addr));
	if (addr->sun_family != AF_UNIX)
		return -EINVAL;
	if (!addr->sun_path[0]) {
		/* abstract: all of its bytes are its name, zeros too */
		for (len = 0; len < sizeof(addr->sun_path) && !addr->sun_path[len]; len++)
			;
		if (len == sizeof(addr->sun_path))
			return -EINVAL;
		out->addr_len = sizeof(*addr);
		return 0;
	}
	len = strnlen(addr->sun_path, sizeof(addr->sun_path));
	if (len == sizeof(addr->sun_path) || addr->sun_path[0] != '/')
		return -EINVAL;
	out->addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	return 0;
}

int vde_request_parse(const void *data, size_t len, struct vde_request *out)
{
	const char *p = data;
	__u32 head[3] = { 0 };
	size_t n;

	/* who says something else at once need not be waited for */
	memcpy(head, p, len < sizeof(head) ? len : sizeof(head));
	if (len >= 4 && head[0] != VDE_MAGIC)
		return -EBADMSG;
	if (len >= 8 && head[1] != VDE_VERSION)
		return -EPROTO;
	if (len >= 12 && head[2] & 0xff)
		return -EOPNOTSUPP;
	if (len < VDE_REQUEST_MIN)
		return -EAGAIN;
	memset(out, 0, sizeof(*out));
	out->port = head[2] >> 8;
	if (addr_take(p + sizeof(head), out))
		return -EINVAL;
	n = len - VDE_REQUEST_MIN;
	if (n > sizeof(out->descr) - 1)
		n = sizeof(out->descr) - 1;
	memcpy(out->descr, p + VDE_REQUEST_MIN, n);
	text_clean(out->descr, sizeof(out->descr));
	return 0;
}

int vde_reply_make(const char *path, struct sockaddr_un *out)
{
	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	return util_copy(out->sun_path, sizeof(out->sun_path), path);
}
