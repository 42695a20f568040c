// SPDX-License-Identifier: GPL-2.0-or-later
/* The configuration file. */
#include "fuzz.h"

static const void *text;
static size_t length;

static FILE *open_input(void)
{
	return fmemopen((void *)text, length, "r");
}

#define fopen(file, mode) open_input()
#include "../../user/manager/config/config.c" // NOLINT(bugprone-suspicious-include)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = NULL;
	struct errtext e = { "" };
	int r;

	if (!size)
		return 0; /* fmemopen takes none */
	text = data;
	length = size;
	r = config_read("FILE", &config, &e);
	CHECK(r <= 0 && !r == !!config);
	if (r == -EINVAL)
		CHECK(e.text[0] && memchr(e.text, '\0', sizeof(e.text)));
	config_free(config);
	return 0;
}
