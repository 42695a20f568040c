// SPDX-License-Identifier: GPL-2.0-or-later
#include "rig.h"
#include <unistd.h>

static struct rig rig;

static void starts_and_stops(void **state)
{
	struct reply reply;
	int s;

	rig_new(&rig);
	if (rig_start(&rig)) {
		fail_msg("%s", rig.e.text);
	}
	s = ctl_open(&rig);
	assert_int_equal(ctl_call(&rig, s, IPN_CTL_INFO, NULL, 0, NULL, 0, &reply), 0);
	ctl_close(&rig, s);
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(starts_and_stops) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
