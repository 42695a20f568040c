// SPDX-License-Identifier: GPL-2.0-or-later
/* The configuration file. */
#include "fuzz.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../user/manager/config/config.c" // NOLINT(bugprone-suspicious-include)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char file[32];
	static int fd = -1;
	struct config *config = NULL;
	struct errtext e = { "" };
	int r;

	if (fd < 0) {
		fd = memfd_create("config", 0);
		snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	}
	CHECK(!ftruncate(fd, 0) && pwrite(fd, data, size, 0) == (ssize_t)size);
	r = config_read(file, &config, &e);
	CHECK(r <= 0 && !r == !!config);
	if (r == -EINVAL)
		CHECK(e.text[0] && memchr(e.text, '\0', sizeof(e.text)));
	config_free(config);
	return 0;
}
