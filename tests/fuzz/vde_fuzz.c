// SPDX-License-Identifier: GPL-2.0-or-later
/* The request of a VDE client, as it comes in: in two parts. */
#include "fuzz.h"

#include <errno.h>

#include "manager/ports/vde_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	size_t part = take8(&in), len = in.left < VDE_REQUEST_MAX ? in.left : VDE_REQUEST_MAX;
	struct vde_request request;
	struct sockaddr_un reply;
	char *bytes = malloc(len ? len : 1); /* of exactly that size for the parser */
	int first, r;

	CHECK(bytes);
	memcpy(bytes, in.at, len);
	first = part < len ? vde_request_parse(bytes, part, &request) : -EAGAIN;
	r = vde_request_parse(bytes, len, &request);
	if (first != -EAGAIN && part < VDE_REQUEST_MIN)
		CHECK(r == first); /* more of it makes it no better */
	if (!r) {
		CHECK(request.addr_len <= sizeof(request.addr));
		CHECK(memchr(request.descr, '\0', sizeof(request.descr)));
		CHECK(request.port <= 0xffffff);
		vde_reply_make(request.addr.sun_path[0] ? request.addr.sun_path : "", &reply);
	}
	free(bytes);
	return 0;
}
