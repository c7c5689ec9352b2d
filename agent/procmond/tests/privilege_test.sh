#!/bin/sh
# Checks what a running procmond may still do, and what a launched agent may do: their own lines of
# /proc/PID/status, and attempts from inside. Needs root. Prints PASS or FAIL per check; exits 1
# when one failed.
set -u
. "$(dirname "$0")/live_lib.sh"

other=
finish_privilege() {
	[ -n "$other" ] && kill "$other"
	finish
}
trap finish_privilege EXIT

start_dump() { # how to run it (words), then the dump's arguments
	how=$1
	shift
	: > "$out"
	$how "$build/framedump" --procmond "$build/procmond" "$@" < "$dir/in" > "$out" 2> "$dir/err" &
	dump_pid=$!
	exec 9> "$dir/in"
	wait_for '"kind":"snapshot_end"'
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

setpriv --reuid 65534 --regid 65534 --clear-groups sleep 60 &
other=$!
sleep 0.2
: > "$dir/writable"
chown 65534 "$dir/writable"
"$build/privilege_breach" "$dir/writable" "$other" || failed=1

# CAP_BPF 39, CAP_SYS_PTRACE 19, CAP_FOWNER 3, CAP_DAC_READ_SEARCH 2.
echo "-- procmond, tier ebpf"
start_dump ""
holds "$procmond" "ebpf" 000000800008000c
check "a system call filter is on" test "$(status_of "$procmond" Seccomp)" = 2
check "it is not dumpable: /proc/PID/auxv is root's" \
	not setpriv --reuid 65534 --clear-groups cat "/proc/$procmond/auxv"
check "the snapshot after the drop names executables of others" \
	grep -q "\"kind\":\"snapshot\".*\"tgid\":$other,.*\"EXE\":\"/.*sleep\"" "$out"
sleep 30 &
traced=$!
echo "add 3 $traced $(sed 's/.*) //' /proc/$traced/stat | cut -d' ' -f20) 2 1" >&9
wait_for '"kind":"trace_state"'
check "nothing it did was refused: the kernel's log does not name it" \
	not sh -c 'dmesg | grep "type=1326.*pid=$0 "' "$procmond"
check "a trace can still be added" grep -q '"CAUSE":"","COUNT":1,"SLOT":3' "$out"
echo "remove 3" >&9
kill $traced
stop_dump

echo "-- procmond, tier proc"
start_dump "" --source proc
holds "$procmond" "proc" 000000000008000c
check "a system call filter is on" test "$(status_of "$procmond" Seccomp)" = 2
stop_dump
chmod 755 "$dir"
cp "$build/procmond" "$build/framedump" "$dir/"
build_kept=$build build=$dir
start_dump "setpriv --reuid 65534 --regid 65534 --clear-groups"
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
start_dump "setpriv --no-new-privs --bounding-set=-all,$caps --inh-caps=-all"
check "they are enough for every kernel program" \
	grep -q '"kind":"ready","tier":1.*"MISSING":"","CAUSE":""' "$out"
holds "$procmond" "unit" 000000800008000c
stop_dump

echo "-- launcher, a pair"
user=65525
cp "$build/procmond" "$build/launch" "$dir/"
"$dir/launch" --procmond "$dir/procmond" --agent-user $user -- \
	sh -c 'echo $$; exec sleep 30' > "$dir/pid" &
sleep 0.5
agent=$(cat "$dir/pid")
holds "$agent" "agent" 0000000000000000
check "it has its own user, its own group and no other" test \
	"$(awk '/^(Uid|Gid|Groups):/ { print $2 $3 $4 $5 }' "/proc/$agent/status" | tr '\n' ' ')" = \
	"$user$user$user$user $user$user$user$user  "
pair=$(pgrep -f "^$dir/procmond")
check "procmond stays root" test "$(status_of "$pair" Uid)" = 0
kill "$agent"
check "and ends with the agent" gone "$pair"
"$dir/launch" --procmond "$dir/procmond" -- sh -c 'cat /proc/self/status' > "$dir/status"
check "without --agent-user the uid stays and every capability goes" test \
	"$(grep -c '^Cap...:.0000000000000000$' "$dir/status") $(awk '/^Uid/ { print $2 }' "$dir/status")" \
	= "5 0"
sh -c 'setpriv --pdeathsig KILL "$@" & sleep 0.5' sh "$dir/launch" --procmond "$dir/procmond" \
	--agent-user $user -- sh -c 'echo $$; exec sleep 30' > "$dir/pid"
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
	i=0
	until [ -S "$run/link" ] || [ $i -gt 40 ]; do i=$((i + 1)); sleep 0.05; done
}
connect() { # uid, then launch's arguments after the socket
	uid=$1
	shift
	timeout 20 setpriv --bounding-set=-all --reuid "$uid" --regid $user --clear-groups \
		"$dir/launch" --connect "$run/link" "$@"
}
listen
check "the socket is 0660 of root and the peer's group" \
	test "$(stat -c '%a %u %g' "$run/link")" = "660 0 $user"
connect 65526 --peer-user 0 -- sh -c 'timeout 2 cat <&3 >/dev/null; true' 2> "$dir/err"
sleep 0.3
check "another user's connection is refused with a line" \
	grep -q "connection of uid 65526 .* was refused" "$dir/listener"
check "and the listener goes on waiting" test -S "$run/link" -a -d "/proc/$listener"
connect $user --peer-user 65526 -- true 2> "$dir/err"
check "a listener of another user is refused by the agent's side" \
	test $? = 1 -a -n "$(grep 'uid 0 listens at' "$dir/err")"
sleep 0.3
listen_again() { [ -S "$run/link" ] || { wait "$listener"; listen; }; }
listen_again
connect $user --peer-user 0 -- sh -c 'cat /proc/self/status; sleep 1' > "$dir/status" &
sleep 0.6
check "the right pair is joined: the listener has become procmond" \
	test "$(readlink "/proc/$listener/exe")" = "$dir/procmond"
check "one connection is all there is" not test -e "$run/link"
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
	'"$0" --procmond "$1" --arg --peer-uid --arg 12345 --seconds 1 < /dev/null; test $? = 2' \
	"$build/framedump" "$build/procmond"
check "procmond refuses a descriptor that is no unix socket" sh -c \
	'"$0" --fd 0 < /dev/null; test $? = 2' "$build/procmond"

finish_test
