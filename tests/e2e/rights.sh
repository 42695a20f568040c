#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# rights: r receives, w sends, x manages, on the inode, for whoever asks; no privilege is needed
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

OTHER=4242

as_user() # UID COMMAND...
{
	setpriv --reuid="$1" --regid="$1" --clear-groups -- "${@:2}"
}

as_group() # UID GROUP COMMAND...
{
	setpriv --reuid="$1" --regid="$1" --groups="$2" -- "${@:3}"
}

# by WHO WANTED CALL...
by()
{
	AS=$1
	calls "${@:2}"
	AS=
}

sysctl=/proc/sys/kernel/unprivileged_bpf_disabled
if [ "$(cat $sysctl)" = 0 ]; then
	echo 2 >$sysctl
	trap 'echo 0 >$sysctl; _at_exit' EXIT
fi
echo "   $sysctl: $(cat $sysctl)"

umask 0
start_fabric
net() # NAME MODE [OPTIONS]
{
	ipn-fabric net add "$NETS/$1" --mode "$2" "${@:3}"
}

step "mode bits for others"
net rw 0776
net r 0774
net w 0772
net none 0770
net x 0771
net all 0777
for who in as_nobody "as_user $OTHER"; do
	by "$who" "ok ok ok 2 EAGAIN ok" socket "connect $NETS/rw" "send hi" "recv 20" close
	by "$who" "ok ok EPIPE EAGAIN" socket "connect $NETS/r" "send hi" "recv 20"
	by "$who" "ok ok ok 2 EPIPE" socket "connect $NETS/w" "send hi" "recv 20"
	by "$who" "ok EACCES" socket "connect $NETS/none"
	by "$who" "ok EACCES" socket "connect $NETS/x"
	by "$who" "ok EPERM EPERM EPERM EPERM" socket "bind $NETS/rw" "bind $NETS/r" \
		"bind $NETS/w" "bind $NETS/none"
	by "$who" "ok ok EACCES" socket "bind $NETS/x" connect
	by "$who" "ok ok ok ok 2 EAGAIN" socket "bind $NETS/all" connect "send hi" "recv 20"
done

step "what they may not, they do not: nothing of it arrives"
node ear socket "connect $NETS/r"
by as_nobody "ok ok EPIPE EPIPE" socket "connect $NETS/r" "send hi" "send ho"
tell ear "recv 50" EAGAIN
tell ear close ok
leave ear
AS=as_nobody node deaf socket "connect $NETS/w"
by as_nobody "ok ok ok 6" socket "connect $NETS/w" "send secret"
tell deaf "recv 50" EPIPE
leave deaf

step "permissions and shutdown together leave neither side: EACCES"
by as_nobody "ok ok EACCES" socket "shutdown rd" "connect $NETS/r"
by as_nobody "ok ok EACCES" socket "shutdown wr" "connect $NETS/w"
by as_nobody "ok ok ok EPIPE" socket "shutdown wr" "connect $NETS/rw" "send hi"

step "to end what others use takes a manager of the network"
node member socket "connect $NETS/rw"
node public socket "connect $NETS/all"
expect_err "may not remove" as_nobody ipn-fabric net del "$NETS/rw"
expect_err "may not detach" as_nobody ipn-fabric detach "$NETS/rw" --port 0
expect_err "owner" as_nobody ipn-fabric net del "$NETS/all"
expect_err "owner" as_nobody ipn-fabric detach "$NETS/all" --port 0
tell member "send still here" "ok 10"
tell public "send still here" "ok 10"
chown 65534 "$NETS/all"
expect_err "owner" as_user $OTHER ipn-fabric detach "$NETS/all" --port 0
expect_status 0 as_nobody ipn-fabric detach "$NETS/all" --port 0
tell public "send x" ECONNRESET
leave member
leave public
expect_status 0 as_nobody ipn-fabric net del "$NETS/all"
[ ! -e "$NETS/all" ] || fail "net del left its path"

step "an unprivileged user's own network, from bind to the last close"
AS=as_nobody node owner "socket 1" "set mode 0700" "umask 0" "bind $NETS/own"
assert_eq "srwx------ 65534" "$(stat -c '%A %u' "$NETS/own")" "inode of the network"
by as_nobody "ok ok ok 2" socket "connect $NETS/own" "send hi"
by "as_user $OTHER" "ok EACCES EPERM" socket "connect $NETS/own" "bind $NETS/own"
tell owner connect ok
by as_nobody "ok ok ok 3" socket "connect $NETS/own" "send you"
tell owner "recv 20000" "ok you"
leave owner
by as_nobody "ok ECONNREFUSED" socket "connect $NETS/own"
by as_nobody "ok ECONNREFUSED" "socket 1" "bind $NETS/own"
rm "$NETS/own"
by as_nobody "ok ok ok ok" "socket 1" "bind $NETS/own" connect close
rm "$NETS/own"
expect_status 0 as_nobody ipn-fabric net add "$NETS/own" --mode 0700
expect_status 0 as_nobody ipn-fabric net del "$NETS/own"

step "nobody makes a network of another's socket"
as_user $OTHER ipn-fabric net add "$NETS/theirs" --mode 0777
as_user $OTHER ipn-fabric net del "$NETS/theirs"
[ ! -e "$NETS/theirs" ] || fail "net del left its path"

step "chmod: who is in loses what he lost, who comes is judged anew; others lose nothing"
net later 0777
node root_reads socket "connect $NETS/later"
AS=as_nobody node early socket "connect $NETS/later"
chmod 0774 "$NETS/later"
gone_is() # NAME CALL WANTED
{
	tell "$1" "$2"
	[[ $OUT == "$3" ]]
}
wait_until 20 gone_is early "send hi" EPIPE
by as_nobody "ok ok EPIPE" socket "connect $NETS/later" "send hi"
by "" "ok ok ok 2" socket "connect $NETS/later" "send ho"
tell early "recv 2000" "ok ho"
# what early sent before it lost w came, too
until tell root_reads "recv 2000"; [ "$OUT" = "ok ho" ]; do
	[ "$OUT" = "ok hi" ] || fail "another reader lost something: $OUT"
done
chmod 0770 "$NETS/later"
wait_until 20 gone_is early "recv 20" "ok "
tell early "send hi" ECONNRESET
by as_nobody "ok EACCES" socket "connect $NETS/later"
leave early
leave root_reads
if setfacl -m u:65534:rw "$NETS/later" 2>/dev/null; then
	AS=as_nobody node early socket "connect $NETS/later"
	setfacl -b "$NETS/later"
	wait_until 20 gone_is early "recv 20" "ok "
	tell early "send hi" ECONNRESET
	leave early
fi
chown 65534 "$NETS/later"
chmod 0700 "$NETS/later"
by as_nobody "ok ok ok ok 2" socket "bind $NETS/later" connect "send hi"
by "as_user $OTHER" "ok EACCES" socket "connect $NETS/later"

step "groups, and access control lists"
net group 0760
chgrp 777 "$NETS/group"
by as_nobody "ok EACCES" socket "connect $NETS/group"
by "as_group 65534 777" "ok ok ok 2" socket "connect $NETS/group" "send hi"
by "as_group 65534 776,777,778" "ok ok ok 2" socket "connect $NETS/group" "send hi"
if setfacl -m u:$OTHER:r "$NETS/group" 2>/dev/null; then
	by "as_user $OTHER" "ok ok EPIPE EAGAIN" socket "connect $NETS/group" "send hi" "recv 20"
	setfacl -m u:$OTHER:rw "$NETS/group"
	by "as_user $OTHER" "ok ok ok 2" socket "connect $NETS/group" "send hi"
	setfacl -m u:$OTHER:- "$NETS/group"
	chmod o+rw "$NETS/group"
	by "as_user $OTHER" "ok EACCES" socket "connect $NETS/group"
	by as_nobody "ok ok ok 2" socket "connect $NETS/group" "send hi"
else
	echo "   no access control lists on this file system"
fi

step "a path behind a directory without x"
mkdir -m 700 "$NETS/closed"
net closed/net 0777
by as_nobody "ok EACCES EACCES" socket "connect $NETS/closed/net" "bind $NETS/closed/net"
expect_err "$NETS/closed/net" as_nobody ipn-fabric recv "$NETS/closed/net"
expect_err "$NETS/closed/net" as_nobody ipn-fabric net show "$NETS/closed/net"

step "two paths to one inode are one network"
net one 0777
ln "$NETS/one" "$NETS/two"
ln -s one "$NETS/three"
mkdir "$NETS/mount"
mount --bind "$NETS" "$NETS/mount"
node a socket "connect $NETS/one"
for path in two three mount/one ./../nets/one; do
	by as_nobody "ok ok ok ${#path}" socket "connect $NETS/$path" "send $path"
	tell a "recv 20000" "ok $path"
done
expect_err "network already" ipn-fabric net add "$NETS/two"
mv "$NETS/one" "$NETS/renamed"
by as_nobody "ok ok ok 2" socket "connect $NETS/renamed" "send hi"
tell a "recv 20000" "ok hi"
leave a
umount "$NETS/mount"
cp -a "$NETS/renamed" "$NETS/copy"
by as_nobody "ok ECONNREFUSED" socket "connect $NETS/copy"

step "interfaces need CAP_NET_ADMIN"
before=$(links)
expect_err "CAP_NET_ADMIN" as_nobody ipn-fabric attach "$NETS/later" --tap evil0
expect_err "CAP_NET_ADMIN" as_nobody ipn-fabric attach "$NETS/later" --host evil0
expect_err "CAP_NET_ADMIN" setpriv --bounding-set=-net_admin -- \
	ipn-fabric attach "$NETS/later" --tap evil0
if as_nobody unshare -Urn true 2>/dev/null; then
	# root of a namespace of its own is nobody here
	expect_err "CAP_NET_ADMIN" as_nobody unshare -Ur ipn-fabric attach "$NETS/later" --tap evil0
	expect_err "root" as_nobody unshare -Ur ipn-fabric down
fi
ipn-fabric attach "$NETS/later" --host good0 >/dev/null
expect_err "CAP_NET_ADMIN" as_nobody ipn-fabric detach "$NETS/later" --port 0
ipn-fabric detach "$NETS/later" --port 0
ipn-fabric attach "$NETS/later" --tap good0 >/dev/null
as_nobody ipn-fabric detach "$NETS/later" --port 0 # who owns the network
assert_eq "$before" "$(links)" "interfaces"
expect_err "CAP_SYS_ADMIN" as_nobody ipn-fabric down
expect_err "CAP_SYS_ADMIN" setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all -- \
	ipn-fabric down

step "root without CAP_DAC_OVERRIDE is judged like everybody"
by "setpriv --bounding-set=-dac_override,-dac_read_search --" "ok EACCES" socket \
	"connect $NETS/later"
by "" "ok ok ok 2" socket "connect $NETS/later" "send hi"

step "who has no right to a network does not see it"
assert_eq "" "$(as_nobody ipn-fabric show --json | jq -r '.networks[].path, .ports[].network' |
	grep "$NETS/none" || true)" "network without rights, in show"
assert_eq "$NETS/r" "$(as_nobody ipn-fabric net show --json | jq -r '.[].path' | grep "/r$")" \
	"network with rights, in net show"

step "quotas: networks, memory; others are not concerned"
for i in {1..64}; do
	as_nobody ipn-fabric net add "$NETS/q$i" --mtu 100 --nodes 1 || fail "network $i of 64"
done
expect_err "a user may have 64, and 64 are taken" as_nobody ipn-fabric net add "$NETS/q65"
by as_nobody "ok EDQUOT" "socket 1" "bind $NETS/q65"
[ ! -e "$NETS/q65" ] || fail "a refused network left its path"
by "as_user $OTHER" "ok ok ok" "socket 1" "bind $NETS/o1" close
as_nobody ipn-fabric net del "$NETS/q64"
for i in {1..3}; do
	as_nobody ipn-fabric net del "$NETS/q$i"
done
for i in {1..3}; do
	as_nobody ipn-fabric net add "$NETS/big$i" --mtu 65535 --pool 1024
done
expect_err "MiB" as_nobody ipn-fabric net add "$NETS/big4" --mtu 65535 --pool 1024
for i in {1..3}; do
	as_nobody ipn-fabric net del "$NETS/big$i"
done
as_nobody ipn-fabric net add "$NETS/big4" --mtu 65535 --pool 1024

stop_fabric
