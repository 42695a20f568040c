#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# rotate: who lost r reads nothing new in a log that he keeps; who has it loses and doubles nothing
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

OTHER=4242

as_user() # UID COMMAND...
{
	setpriv --reuid="$1" --regid="$1" --clear-groups -- "${@:2}"
}

umask 0
start_fabric
net() # NAME [OPTIONS]
{
	ipn-fabric net add "$NETS/$1" --mtu 200 "${@:2}"
}

# One kept log: what was sent before is in it, what is sent after CHANGE is not, and those who have
# the right get all of it.
kept() # NAME CHANGE...
{
	local name=$1 word=$RANDOM$RANDOM before n

	node "root$name" socket "connect $NETS/$name"
	node "mouth$name" socket "shutdown rd" "connect $NETS/$name"
	AS=as_nobody talker "kept$name" keeplog "$NETS/$name"
	answer "kept$name" 20 in
	AS=as_nobody talker "left$name" keeplog "$NETS/$name"
	answer "left$name" 20 in
	tell "left$name" leave ok
	# as an Ethernet frame, too: to a group address, from one that may send
	tell "mouth$name" "send early-data$word" "ok $((${#word} + 10))"
	tell "kept$name" "find early-data$word" yes
	tell "left$name" "find early-data$word" yes
	before=$(log_id "$name")
	"${@:2}"
	wait_until 20 other_log "$name" "$before"
	tell "mouth$name" "send elate-data$word" "ok $((${#word} + 10))"
	tell "root$name" "recv 20000" "ok early-data$word"
	tell "root$name" "recv 20000" "ok elate-data$word"
	tell "kept$name" "find early-data$word" yes
	tell "kept$name" "find elate-data$word" no
	tell "left$name" "find elate-data$word" no
	tell "root$name" overruns "ok 0"
	for n in root mouth kept left; do
		leave "$n$name"
	done
}

step "chmod, chown, an ACL, unlink, and the end of a port: nothing new in a log that was kept"
net chmod --mode 0755
kept chmod chmod 0700 "$NETS/chmod"
net chown --mode 0700
chown 65534 "$NETS/chown"
wait_until 20 seen chown ".uid == 65534"
kept chown chown 0 "$NETS/chown"
net acl --mode 0700
if setfacl -m u:65534:rw "$NETS/acl" 2>/dev/null; then
	wait_until 20 seen acl ".acl != 0"
	kept acl setfacl -b "$NETS/acl"
fi
net end --mode 0755
kept end ipn-fabric detach "$NETS/end" --port 2
net lossless --lossless --mode 0755
kept lossless chmod 0700 "$NETS/lossless"
net lan --policy switch --mode 0755
kept lan chmod 0700 "$NETS/lan"


step "unlink: the network goes on without a name"
net unlink --mode 0755
node member socket "connect $NETS/unlink"
node mouth socket "connect $NETS/unlink"
AS=as_nobody talker kept keeplog "$NETS/unlink"
answer kept 20 in
tell kept leave ok
id=$(ipn-fabric net show "$NETS/unlink" --json | jq ".[0].id")
before=$(log_id unlink)
rm "$NETS/unlink"
moved()
{
	[ "$(log_at "$id")" != "$before" ]
}
wait_until 20 moved
tell mouth "send nameless" "ok 8"
tell member "recv 20000" "ok nameless"
tell kept "find nameless" no
for n in member mouth kept; do
	leave $n
done

step "who gains rights, leaves by himself, or can read all the same: the log stays"
net same --mode 0700
before=$(log_id same)
chmod 0755 "$NETS/same"
AS=as_nobody node reader socket "connect $NETS/same"
chmod 0744 "$NETS/same" # the x of others
chown $OTHER "$NETS/same"
as_nobody ipn-fabric detach "$NETS/same" --port 0
leave reader
# until a change that came later has been seen, and a log exchanged for it
net probe --mode 0755
AS=as_nobody node reader socket "connect $NETS/probe"
probe=$(log_id probe)
chmod 0700 "$NETS/probe"
wait_until 20 other_log probe "$probe"
assert_eq "$before" "$(log_id same)" "the log of a network where nobody lost r"
tell reader "recv 20" "ok "
leave reader

step "a reader that asks while no manager is there asks the next one"
net orphan --mode 0755
node reader socket "connect $NETS/orphan"
node mouth socket "connect $NETS/orphan"
before=$(log_id orphan)
chmod 0700 "$NETS/orphan"
wait_until 20 other_log orphan "$before"
wait_until 20 seen orphan true
kill_fabric
tell mouth "send from nobody" "ok 11"
tell reader "recv 100" "EAGAIN"
start_fabric
tell reader "recv 20000" "ok from nobody"
for n in reader mouth; do
	leave $n
done

step "an owner who changes the mode all the time: a log a second at most"
net often --mode 0755
node steady socket "connect $NETS/often"
end=$((SECONDS + 3)) ids=() last=
while [ $SECONDS -lt $end ]; do
	for mode in 0700 0755; do
		chmod $mode "$NETS/often"
		sleep 0.1 # it is looked at 50 ms late: what is undone before took nothing away
		now=$(log_id often)
		[ "$now" = "$last" ] || ids+=("$now")
		last=$now
	done
done
[ ${#ids[@]} -ge 2 ] || fail "no other log in 3 s of changes"
[ ${#ids[@]} -le 5 ] || fail "${#ids[@]} logs in 3 s"
leave steady
