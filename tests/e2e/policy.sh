#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# policy: users load policies of their own, and they work end to end
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

EXAMPLES=$IPN_BUILD/examples

start_fabric

step "load, list, use"
ipn-fabric policy load "$EXAMPLES/topic.bpf.o" --number 9 --name topic
ipn-fabric policy load "$EXAMPLES/queue.bpf.o" --number 10 --name queue
ipn-fabric policy load "$EXAMPLES/stamp.bpf.o" --number 11 --name stamp
ipn-fabric policy list
