#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# seeds: what must hold of the data path does so in 10^5 networks and schedules
#
# SEEDS: how many (100000). A seed that fails: build/tests/sim --seed SEED -v

set -euo pipefail
sim=$(dirname "${BASH_SOURCE[0]}")/../../build/tests/sim

"$sim" --seeds 500 --twice
"$sim" --seeds "${SEEDS:-100000}"
