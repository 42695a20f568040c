// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lib/who.h"

#include <linux/capability.h>
#include <sys/syscall.h>

#include "common/util.h"

/* FNV-1a */
static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3ULL;
	return hash;
}

uint64_t who_am_i(void)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { 0 };
	uint32_t ids[] = { geteuid(), getegid() };
	uint64_t hash = mix(0xcbf29ce484222325ULL, ids, sizeof(ids));
	_cleanup_free_ gid_t *groups = NULL;
	int n = getgroups(0, NULL);

	if (n > 0)
		groups = calloc((size_t)n, sizeof(*groups));
	if (groups)
		n = getgroups(n, groups);
	if (groups && n > 0)
		hash = mix(hash, groups, (size_t)n * sizeof(*groups));
	if (!syscall(SYS_capget, &hdr, caps)) {
		for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
			hash = mix(hash, &caps[i].effective, sizeof(caps[i].effective));
	}
	return hash;
}
