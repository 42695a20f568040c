#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# quitters: programs with a datagram socket that end, or turn away, amid messages leave no deaf port
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

PORTS=4
DIR=$IPN_TEST_TMP/sw
A=020000000001 B=020000000002 T=88b6

cat >"$IPN_TEST_TMP/programs.py" <<'P'
# once DIR N: N sockets; ends, without closing them, when each has got a message
# turn DIR MAC: is known by MAC, turns to another socket and back, and gets messages after that
import os, select, socket, sys, time

how, where, what = sys.argv[1:]
limit = time.monotonic() + float(os.environ["LIMIT"])

def bound(path):
    if os.path.exists(path):
        os.unlink(path)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(path)
    return s

def left():
    if time.monotonic() > limit:
        sys.exit("too late")
    return limit - time.monotonic()

if how == "once":
    deaf = [bound(f"{where}/prog{i}") for i in range(int(what))]
    while deaf:
        for s in select.select(deaf, [], [], left())[0]:
            s.recv(65536)
            deaf.remove(s)
        left()
    os.kill(os.getpid(), 9)

def drained(s):
    s.setblocking(False)
    try:
        while True:
            s.recv(65536)
    except BlockingIOError:
        s.setblocking(True)

s, other = bound(f"{where}/prog0"), bound(f"{where}/other")
mac = bytes.fromhex(what)
while not select.select([s], [], [], left())[0]:
    pass
s.sendto(b"\xff" * 6 + mac + b"\x88\xb6", f"{where}/port0") # from here on the switch knows where
for _ in range(3):
    s.connect(f"{where}/other")
    time.sleep(0.1) # what is sent to it now is refused
    s.connect(f"{where}/port0")
    drained(s)
    while not select.select([s], [], [], left())[0] or s.recv(65536)[:6] != mac:
        left()
P
programs() { LIMIT=$(limit 20) python3 "$IPN_TEST_TMP/programs.py" "$1" "$IPN_TEST_TMP" "$2"; }

start_fabric
ipn-fabric net add "$NETS/lan" --policy switch --pool 256
ipn-fabric attach "$NETS/lan" --vde "$DIR" --mode 0777 >/dev/null
for ((i = 0; i < PORTS; i++)); do
	ipn-fabric attach "$NETS/lan" --unix "$IPN_TEST_TMP/port$i" \
		--peer "$IPN_TEST_TMP/prog$i" >/dev/null
done
vde flood

step "programs that are killed amid broadcasts come back, and hear again"
ask flood "fill ffffffffffff $B 60 100000000"
for round in {1..6}; do
	status=0
	programs once $PORTS 2>"$IPN_TEST_TMP/why" || status=$?
	assert_eq 137 $status "round $round: $(cat "$IPN_TEST_TMP/why")"
done
for round in {1..6}; do
	vde guest
	tell guest "recv $(limit 20)000"
	[[ $OUT == ffffffffffff* ]] || fail "round $round: a new VDE client hears nothing: $OUT"
	crash guest
done
wait_until 20 has_ports "$NETS/lan" 1
crash flood
wait_until 20 has_ports "$NETS/lan" 0

step "a program whose socket is another's for a moment hears again, of the fabric and of others"
vde one
ask one "fill $A $B 60 100000000"
programs turn $A || fail "deaf after it had turned away"
crash one
wait_until 20 has_ports "$NETS/lan" 0
stop_fabric
