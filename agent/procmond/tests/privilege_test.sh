#!/bin/sh
# Checks what a running procmond may still do, and what a launched agent may do: their own lines of
# /proc/PID/status, and attempts from inside. Needs root. Prints PASS or FAIL per check; exits 1
# when one failed.
set -u
. "$(dirname "$0")/live_lib.sh"

other=
listener=
finish_privilege() {
	kill $other $listener 2>/dev/null
	finish
}
trap finish_privilege EXIT

begin() { # how to run it (words), then the dump's arguments
	dump_as=$1
	shift
	start_dump "$@"
	procmond=$(pgrep -P "$dump_pid" procmond)
}
status_of() { # pid, field
	awk -v field="$2:" '$1 == field { print $2 }' "/proc/$1/status"
}
holds() { # pid, name, effective and permitted capabilities
	check "$2: capabilities are $3" \
		test "$(status_of "$1" CapEff) $(status_of "$1" CapPrm)" = "$3 $3"
	none=0000000000000000
	check "$2: nothing to inherit, nothing ambient, an empty bounding set" test \
		"$(status_of "$1" CapInh) $(status_of "$1" CapAmb) $(status_of "$1" CapBnd)" = \
		"$none $none $none"
	check "$2: no new privileges" test "$(status_of "$1" NoNewPrivs)" = 1
}

setpriv --reuid 65534 --regid 65534 --clear-groups sleep 600 &
other=$!
await "another user's process has begun" sh -c 'readlink "/proc/$0/exe" | grep -q sleep' "$other"
: > "$dir/writable"
chown 65534 "$dir/writable"
"$build/privilege_breach" "$dir/writable" "$other" > "$dir/breach" || fail "nothing succeeds from inside" cat "$dir/breach"
cat "$dir/breach"


# The kernel's log may name an earlier process of the same number.
echo "$scope begins" > /dev/kmsg
await "the kernel's log can be read" sh -c 'dmesg | grep -q "$0"' "$scope begins"
# CAP_BPF 39, CAP_SYS_PTRACE 19, CAP_FOWNER 3, CAP_DAC_READ_SEARCH 2.
echo "-- procmond, tier ebpf"
begin ""
holds "$procmond" "ebpf" 000000800008000c
check "a system call filter is on" test "$(status_of "$procmond" Seccomp)" = 2
check "it is not dumpable: /proc/PID/auxv is root's" \
	not setpriv --reuid 65534 --clear-groups cat "/proc/$procmond/auxv"
check "the snapshot after the drop names executables of others" \
	grep -q "\"kind\":\"snapshot\".*\"tgid\":$other,.*\"EXE\":\"/.*sleep\"" "$out"
sleep 600 &
traced=$!
order "add 3 $traced $(ticks_of $traced) 2 1"
check "nothing it did was refused: the kernel's log does not name it" \
	not sh -c 'dmesg | sed "1,/$1/d" | grep "type=1326.*pid=$0 "' "$procmond" "$scope begins"
check "a trace can still be added" grep -q '"CAUSE":"","COUNT":1,"SLOT":3' "$out"
order "remove 3"
kill $traced
stop_dump

echo "-- procmond, tier proc"
begin "" --source proc
holds "$procmond" "proc" 000000000008000c
check "a system call filter is on" test "$(status_of "$procmond" Seccomp)" = 2
stop_dump
chmod 755 "$dir"
cp "$build/procmond" "$build/framedump" "$dir/"
build_kept=$build build=$dir
begin "setpriv --reuid 65534 --regid 65534 --clear-groups"
check "without root there is nothing to give up, and that is no failure" \
	grep -q '"kind":"ready","tier":[23]' "$out"
check "without root the filter is on all the same" test "$(status_of "$procmond" Seccomp)" = 2
check "and nothing is called missing that was not there" \
	not grep -q '"kind":"ready".*\(capability-drop\|system-call-filter\)' "$out"
stop_dump
build=$build_kept

# What the unit gives procmond before it has opened anything; the same list as in the unit file.
caps=$(sed -n 's/^CapabilityBoundingSet=//p' "${0%/*}/../../systemd/daemoneye-procmond.service")
caps=$(echo "$caps" | tr 'A-Z' 'a-z' | sed 's/cap_/+/g; s/ /,/g')
echo "-- procmond with the capabilities of its unit"
begin "setpriv --no-new-privs --bounding-set=-all,$caps --inh-caps=-all"
check "they are enough for every kernel program" \
	grep -q '"kind":"ready","tier":1.*"MISSING":"","CAUSE":""' "$out"
holds "$procmond" "unit" 000000800008000c
stop_dump

echo "-- launcher, a pair"
user=65525
cp "$build/procmond" "$build/launch" "$dir/"
"$dir/launch" --procmond "$dir/procmond" --agent-user $user -- \
	sh -c 'echo $$; exec sleep 600' > "$dir/pid" &
await "the agent has begun" test -s "$dir/pid"
agent=$(cat "$dir/pid")
holds "$agent" "agent" 0000000000000000
check "it has its own user, its own group and no other" test \
	"$(awk '/^(Uid|Gid|Groups):/ { print $2 $3 $4 $5 }' "/proc/$agent/status" | tr '\n' ' ')" = \
	"$user$user$user$user $user$user$user$user  "
await "its procmond has begun" pgrep -f "^$dir/procmond"
pair=$(pgrep -f "^$dir/procmond")
check "procmond stays root" test "$(status_of "$pair" Uid)" = 0
kill "$agent"
check "and ends with the agent" gone "$pair"
"$dir/launch" --procmond "$dir/procmond" -- sh -c 'cat /proc/self/status' > "$dir/status"
check "without --agent-user the uid stays and every capability goes" test \
	"$(grep -c '^Cap...:.0000000000000000$' "$dir/status") $(awk '/^Uid/ { print $2 }' "$dir/status")" \
	= "5 0"
# The supervisor ends when its agent runs.
: > "$dir/pid"
sh -c 'setpriv --pdeathsig KILL "$@" & until [ -s "$0/pid" ]; do sleep 0.05; done' "$dir" "$dir/launch" \
	--procmond "$dir/procmond" --agent-user $user -- sh -c 'echo $$; exec sleep 600' > "$dir/pid"
check "an agent that was to end with its supervisor does, although its user changed" \
	gone "$(cat "$dir/pid")"
mkdir -m 700 "$dir/closed"
: > "$dir/closed/file"
"$dir/launch" --can-read --agent-user $user -- /bin/sh "$dir/closed/file" > "$dir/reach"
check "what the agent could not read is named with 3" \
	test $? = 3 -a "$(cat "$dir/reach")" = "$dir/closed/file: Permission denied"
setpriv --reuid $user --clear-groups "$dir/launch" --procmond "$dir/procmond" --agent-user 1 \
	-- true 2> "$dir/err"
check "a user that cannot be had is an error, not a privileged agent" \
	test $? = 1 -a -n "$(grep -i 'cannot be made unprivileged' "$dir/err")"

echo "-- launcher, two units"
run=$dir/run
mkdir -m 750 "$run"
chgrp $user "$run"
listen() {
	"$dir/launch" --listen "$run/link" --peer-user $user -- "$dir/procmond" 2> "$dir/listener" &
	listener=$!
	await "the launcher listens" test -S "$run/link"
}
connect() { # uid, then launch's arguments after the socket
	uid=$1
	shift
	timeout 120 setpriv --bounding-set=-all --reuid "$uid" --regid $user --clear-groups \
		"$dir/launch" --connect "$run/link" "$@"
}
listen
check "the socket is 0660 of root and the peer's group" \
	test "$(stat -c '%a %u %g' "$run/link")" = "660 0 $user"
connect 65526 --peer-user 0 -- sh -c 'timeout 2 cat <&3 >/dev/null; true' 2> "$dir/err"
check "another user's connection is refused with a line" \
	grep -q "connection of uid 65526 .* was refused" "$dir/listener"
check "and the listener goes on waiting" test -S "$run/link" -a -d "/proc/$listener"
connect $user --peer-user 65526 -- true 2> "$dir/err"
check "a listener of another user is refused by the agent's side" \
	test $? = 1 -a -n "$(grep 'uid 0 listens at' "$dir/err")"
# The agent's side left after the kernel had joined them: the listener becomes a procmond that ends.
await "the listener has ended" gone "$listener"
kill "$listener" 2>/dev/null
wait "$listener"
listen
# It ends when the test says so.
mkfifo "$dir/until"
connect $user --peer-user 0 -- sh -c 'cat /proc/self/status; cat > /dev/null' > "$dir/status" < "$dir/until" &
exec 5> "$dir/until"
check "the right pair is joined: the listener has become procmond" \
	sh -c 'test "$(readlink "/proc/$0/exe")" = "$1"' "$listener" "$dir/procmond"
check "one connection is all there is" not test -e "$run/link"
await "the agent has begun" grep -q NoNew "$dir/status"
exec 5>&-
wait "$listener"
check "when the agent goes, procmond ends with 0" test $? = 0
check "the agent has no capability and no new privileges" test \
	"$(grep -c '^Cap...:.0000000000000000$' "$dir/status") $(awk '/^NoNew/ { print $2 }' "$dir/status")" \
	= "5 1"
chmod 770 "$run"
"$dir/launch" --listen "$run/link" --peer-user $user -- "$dir/procmond" 2> "$dir/err"
check "a directory others may write is no place for the socket" \
	test $? = 1 -a -n "$(grep 'no place for a socket' "$dir/err")"
check "procmond refuses a peer that is not the one named" sh -c \
	'"$0" --procmond "$1" --arg --peer-uid --arg 12345 --seconds 60 < /dev/null; test $? = 2' \
	"$build/framedump" "$build/procmond"
check "procmond refuses a descriptor that is no unix socket" sh -c \
	'"$0" --fd 0 < /dev/null; test $? = 2' "$build/procmond"

finish_test
