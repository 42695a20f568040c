// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lib/addr.h"

#include <ipn/af_ipn.h>
#include <limits.h>
#include <sys/un.h>

#include "common/util.h"

_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == IPN_PATH_MAX, "sun_path");

int addr_parse(const struct sockaddr *addr, socklen_t len, char path[ADDR_PATH_SIZE])
{
	const size_t start = offsetof(struct sockaddr_un, sun_path);
	sa_family_t family;
	size_t room;

	if (!addr || len <= start || len > sizeof(struct sockaddr_un))
		return -EINVAL;
	memcpy(&family, addr, sizeof(family));
	if (family != AF_IPN)
		return -EINVAL;
	room = len - start;
	memcpy(path, (const char *)addr + start, room);
	path[room] = '\0';
	return path[0] ? 0 : -EINVAL;
}

int addr_absolute(const char *path, char out[IPN_PATH_MAX])
{
	char cwd[PATH_MAX];

	if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) && cwd[0] == '/') {
		int n = snprintf(out, IPN_PATH_MAX, "%s/%s", cwd[1] ? cwd : "", path);

		if (n > 0 && n < IPN_PATH_MAX)
			return 0;
	}
	return util_copy(out, IPN_PATH_MAX, path);
}

void addr_fill(const char *path, struct sockaddr *addr, socklen_t *len)
{
	struct {
		sa_family_t family;
		char path[ADDR_PATH_SIZE];
	} a = { .family = AF_IPN };
	socklen_t real = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);

	_Static_assert(offsetof(__typeof__(a), path) == offsetof(struct sockaddr_un, sun_path),
		       "layout of sockaddr_un");
	(void)util_copy(a.path, sizeof(a.path), path);
	memcpy(addr, &a, *len < real ? *len : real);
	*len = real;
}
