#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# oob: who wants to is told how many readers and writers there are, at each change, before any data
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

start_fabric
ipn-fabric net add "$NETS/hub" --pool 4 --nodes 64
ipn-fabric net add "$NETS/lan" --policy switch

step "the own join, then others come and go in every way"
node ear "socket 1" "oob on" "connect $NETS/hub"
tell ear "events 20000 pri" "ok pri"
tell ear "oobrecv 20000" "ok 1 1"
tell ear "oobrecv 20" EAGAIN
node other "socket 1" "connect $NETS/hub"
tell ear "oobrecv 20000" "ok 2 2"
tell other "shutdown rd"
tell ear "oobrecv 20000" "ok 1 2"
tell other "shutdown wr"
tell ear "oobrecv 20000" "ok 1 1"
tell other "close"
node mouth "socket 1" "shutdown rd" "connect $NETS/hub"
tell ear "oobrecv 20000" "ok 1 2"
crash mouth
tell ear "oobrecv 20000" "ok 1 1"
port=$(ipn-fabric attach "$NETS/hub" --host h0 --json | jq .port)
tell ear "oobrecv 20000" "ok 2 2"
ipn-fabric detach "$NETS/hub" --port "$port"
tell ear "oobrecv 20000" "ok 1 1"
tell ear "oobrecv 20" EAGAIN

step "before data, and a flood of data does not displace it"
node mouth "socket 1" "connect $NETS/hub"
tell mouth "sendmany 5000" ok
tell ear "events 20000" "ok in pri rdnorm out"
tell ear "oobrecv 20000" "ok 2 2"
tell ear "events 20000" "ok in rdnorm out"
tell ear "oobrecv 20000" "ok data"

step "the newest takes the place of older ones that were not read"
tell ear "recvall 20"
node third "socket 1" "connect $NETS/hub"
node fourth "socket 1" "connect $NETS/hub"
tell ear "oobrecv 20000" "ok 4 4"
tell ear "oobrecv 20" EAGAIN

step "only who wants it: and what changed before that is old"
tell mouth "oobrecv 20" EAGAIN
tell mouth "oob handle"
leave fourth
tell mouth "oobrecv 20" EAGAIN
tell mouth "oob on"
tell mouth "oobrecv 20" EAGAIN
leave third
tell mouth "oobrecv 20000" "ok 2 2"
tell ear "oobrecv 20000" "ok 2 2"
tell mouth "oob off"
leave ear
tell mouth "oobrecv 20" EAGAIN

step "a sender whose receive side is shut down still hears of readers"
node sender "socket 1" "oob on" "shutdown rd" "connect $NETS/hub"
tell sender "oobrecv 20000" "ok 1 2"
tell mouth "send hello" "ok 5"
tell sender "oobrecv 20" EAGAIN
leave mouth
tell sender "oobrecv 20000" "ok 0 1"
tell sender "oob off"
tell sender "oobrecv 20" EPIPE

step "asleep, on a switch, and over the death of the manager"
node ear socket "oob on" "connect $NETS/lan"
tell ear "oobrecv 20000" "ok 1 1"
ask ear "oobrecv 20000"
wait_until 20 asleep "${NODE_PID[ear]}"
node other socket "connect $NETS/lan"
answer ear 40 "ok 2 2"
ask ear "events 20000 pri"
wait_until 20 asleep "${NODE_PID[ear]}"
kill_fabric
crash other
start_fabric
answer ear 40 "ok pri"
tell ear "oobrecv 20000" "ok 1 1"
tell ear "oobrecv 20" EAGAIN
node other socket "connect $NETS/lan"
tell ear "oobrecv 20000" "ok 2 2"

stop_fabric
