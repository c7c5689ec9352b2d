#!/bin/sh
# Checks what procmond tells of processes beyond their life: where they come from, what they change,
# what they do to others and to the collector. Needs root. Prints PASS or FAIL per check; exits 1 when
# one failed.
set -u
. "$(dirname "$0")/live_lib.sh"
actor=$build/live_process_actor

keys_of() { # the kind, a pattern: one line per process key
	grep "\"kind\":\"$1\"" "$out" | grep -- "$2" |
		sed 's/.*"tgid":\([0-9]*\),.*"ticks":\([0-9]*\),.*/\1 \2/'
}
map_id_of() { # a pid, a map type: from the descriptors of that process
	for info in /proc/"$1"/fdinfo/*; do
		awk -v type="$2" '/^map_type:/ { same = $2 == type } /^map_id:/ && same { print $2 }' \
			"$info" 2>/dev/null
	done | sed -n 1p
}
offset_of() { # a global that user space shares with the programs
	for object in "$build/procmond.bpf.o" "$build/../procmond.bpf.o"; do
		[ -f "$object" ] && bpftool btf dump file "$object" |
			sed -n "s/.*offset=\([0-9]*\) size=.*(VAR '$1').*/\1/p"
	done | sed -n 1p
}

ask() { # a descriptor, who reads from it, a line; comes back when it was done
	asked=$(($(wc -l < "$dir/$2.pid") + 1))
	echo "$3" >&$1
	await "$2 has done: $3" test_lines $asked "$dir/$2.pid"
}
test_lines() { test "$(wc -l < "$2")" = "$1"; } # how many, a file

# The last signal would end the dump and procmond: what they inherit as ignored does not.
trap '' 64

echo "-- exec"
mkdir "$dir/place"
start_dump --scope "$scope"
printf '#!/bin/sh\nexit 7\n' > "$dir/script"; chmod +x "$dir/script"
within sh -c 'cd "$0" && exec /bin/echo placed' "$dir/place" > /dev/null
within "$dir/script"
within sh -c 'cd "$0" && rmdir "$0" && exec /bin/echo gone' "$dir/place" > /dev/null
memory_pid=$(within "$actor" memory hidden)
deleted_pid=$(within "$actor" deleted "$dir/short")
(export SECRET=no-names-no-values; within true)
order "env KEPT ALSO"
(export KEPT=a SECRET=raw-environment KEPTLONG=b ALSO=; within true)
set -- $(stat -Lc '%d %i %s %.9Y %.9Z' /bin/echo | tr -d .)
settle
# stat() packs the device as 12 bits of minor in two parts; the kernel shifts by 20.
dev=$(($1 >> 8 << 20 | $1 & 255))
check "exec has the working directory" has exec "ARGV\":\"/bin/echo.u0000placed\".*\"CWD\":\"$dir/place\""
check "a deleted working directory is not given as if it were there" \
	has exec 'ARGV":"/bin/echo.u0000gone".*"ABSENT":"CWD:uncertain"'
check "exec says which file it is, as stat() does" has exec \
	"placed\".*\"DEV\":$dev,\"INO\":$2,\"SIZE\":$3,\"MTIME_NS\":$4,\"CTIME_NS\":$5"
check "a script names its interpreter" has exec "FILENAME\":\"$dir/script\".*\"INTERP\":\"/bin/sh\""
check "what is no script names none" not has exec 'placed".*"INTERP"'
check "an image in memory is flagged" has exec \
	"\"tgid\":$memory_pid,.*\"EXE\":\"memfd:hidden\",.*\"EXE_FLAGS\":2"
check "a deleted image is flagged" has exec \
	"\"tgid\":$deleted_pid,.*\"EXE\":\"$dir/short\",.*\"EXE_FLAGS\":1"
check "an image that is there is not" not has exec 'placed".*"EXE_FLAGS"'
check "named variables are carried, whole names only" has exec \
	'"COMM":"true".*"ENV":"\(KEPT=a.u0000ALSO=\|ALSO=.u0000KEPT=a\)"'
check "nothing of the environment leaves without a name" not grep -q 'raw-env\|no-names-no-values' "$out"

echo "-- changed ids"
pid=$(within "$actor" ids); settle
check "a change of gids has the ids before it" has set_id \
	"\"tgid\":$pid,.*\"uid\":0,\"gid\":1001,\"euid\":0,.*\"OLD_UID\":0,\"OLD_GID\":0,\"OLD_EUID\":0,\"CALL\":\"setresgid\""
check "a change of uids has the ids before it" has set_id \
	"\"tgid\":$pid,.*\"uid\":1002,\"gid\":1001,\"euid\":1003,.*\"OLD_UID\":0,\"OLD_GID\":1001,\"OLD_EUID\":0,\"CALL\":\"setresuid\""
check "only changes are told" counts 2 set_id "\"tgid\":$pid,"

echo "-- reaching into others"
set -- $(within "$actor" trace); settle
check "an attachment has its target" has ptrace \
	"\"tgid\":$1,.*\"TARGET_TGID\":$2,\"TARGET_TICKS\":[1-9][0-9]*,\"REQUEST\":16,\"CALL\":\"ptrace\""
check "200 reads and 200 writes are told once each" \
	counts 3 ptrace "\"tgid\":$1,"
set -- $(within "$actor" reach); settle
check "process_vm_writev is told" has ptrace "\"tgid\":$1,.*\"TARGET_TGID\":$2,.*\"CALL\":\"process_vm_writev\""
check "pidfd_getfd is told" has ptrace "\"tgid\":$1,.*\"TARGET_TGID\":$2,.*\"CALL\":\"pidfd_getfd\""
within unshare -pf "$actor" trace > /dev/null; settle
attached=$(grep '"kind":"ptrace"' "$out" | grep '"REQUEST":16,' | tail -n 1)
tracer=$(echo "$attached" | sed 's/.*"tgid":\([0-9]*\),.*/\1/')
check "a target is found from within a pid namespace" has fork \
	"\"tgid\":$(echo "$attached" | sed 's/.*"TARGET_TGID":\([0-9]*\),.*/\1/'),.*\"PARENT_TGID\":$tracer,"

echo "-- acts on the collector"
procmond=$(pgrep -P "$dump_pid" procmond)
pid=$(within "$actor" load-program); settle
check "loading a program is told once, not five times" \
	counts 1 tamper "\"tgid\":$pid,.*\"CAUSE\":\"kernel_code\".*\"REQUEST\":5,\"CALL\":\"bpf\""
pid=$(within "$actor" module); settle
if grep -q . /proc/modules 2>/dev/null; then result=-9; else result=-38; fi
check "an attempt to load a module is told" has tamper \
	"\"tgid\":$pid,.*\"CAUSE\":\"kernel_code\".*\"RESULT\":$result,.*\"CALL\":\"finit_module\""
pid=$("$actor" seize "$procmond"); settle
check "attaching to procmond is told, whatever the scope" has tamper \
	"\"tgid\":$pid,.*\"CAUSE\":\"own_process\".*\"TARGET_TGID\":$procmond,.*\"REQUEST\":16902,\"CALL\":\"ptrace\""
kill -STOP "$procmond"; kill -CONT "$procmond"; settle
check "stopping procmond is told" has tamper \
	"\"CAUSE\":\"own_process\".*\"TARGET_TGID\":$procmond,.*\"REQUEST\":19,\"CALL\":\"signal\""
kill -STOP "$dump_pid"; kill -CONT "$dump_pid"; settle
check "stopping the agent is told" has tamper \
	"\"CAUSE\":\"own_process\".*\"TARGET_TGID\":$dump_pid,.*\"REQUEST\":19,\"CALL\":\"signal\""
pid=$("$actor" queue "$procmond" 19); kill -CONT "$procmond"; settle
check "also with the si_code of a timer" has tamper \
	"\"tgid\":$pid,.*\"CAUSE\":\"own_process\".*\"TARGET_TGID\":$procmond,.*\"REQUEST\":19,\"CALL\":\"signal\""
pid=$("$actor" aim "$procmond" 19); kill -CONT "$procmond"; settle
check "also from a descriptor that was aimed at it" has tamper \
	"\"tgid\":$pid,.*\"CAUSE\":\"own_process\".*\"TARGET_TGID\":$procmond,.*\"REQUEST\":19,\"CALL\":\"signal\""
kill -64 "$procmond"; settle
check "the last signal is told" has tamper \
	"\"CAUSE\":\"own_process\".*\"TARGET_TGID\":$procmond,.*\"REQUEST\":64,\"CALL\":\"signal\""
cp "$actor" "$dir/tried"; chmod 755 "$dir" "$dir/tried"
setpriv --reuid 65534 --regid 65534 --clear-groups "$dir/tried" refused "$procmond" 60 > /dev/null
settle
check "what 60 processes of a user are refused is told once" counts 1 tamper \
	"\"uid\":65534,.*\"CAUSE\":\"own_process\".*\"CALL\":\"ptrace\""
pid=$("$actor" seize "$procmond"); settle
check "and hides nothing of root" has tamper "\"tgid\":$pid,.*\"CAUSE\":\"own_process\".*\"CALL\":\"ptrace\""
if [ "$(uname -m)" = x86_64 ]; then
	pid=$(within "$actor" compat-module); settle
	check "loading a module by a 32-bit call is told without a trace" has tamper \
		"\"tgid\":$pid,.*\"CAUSE\":\"kernel_code\".*\"RESULT\":$result,.*\"CALL\":\"finit_module\""
	pid=$("$actor" compat-map "$(map_id_of "$procmond" 3)"); settle
	check "taking hold of one of our maps by a 32-bit call is told" has tamper \
		"\"tgid\":$pid,.*\"CAUSE\":\"own_object\".*\"REQUEST\":14,\"CALL\":\"bpf\""
fi
check "letting it go on is not" not has tamper '"REQUEST":18,"CALL":"signal"'
check "what procmond does to itself is not told" not has tamper "\"tgid\":$procmond,"
if command -v bpftool > /dev/null; then
	handlers=$(map_id_of "$procmond" 3)
	bpftool map delete id "$handlers" key 1 0 0 0
	settle_stats
	check "taking hold of one of our maps is told" has tamper \
		"\"COMM\":\"bpftool\".*\"CAUSE\":\"own_object\"\|\"CAUSE\":\"own_object\".*\"COMM\":\"bpftool\""
	check "a handler that was taken out is told" has tamper '"CAUSE":"handler:process".*"CALL":"detach"'
	pid=$(within "$actor" ids); settle
	check "and is back in its place" has set_id "\"tgid\":$pid,"
else
	echo "SKIP changes to our maps: bpftool is not installed"
fi

echo "-- ways around the view"
mkfifo "$dir/before" "$dir/after"
within "$actor" lines < "$dir/before" > "$dir/before.pid" & before_job=$!
exec 8> "$dir/before"
within "$actor" lines < "$dir/after" > "$dir/after.pid" & after_job=$!
exec 7> "$dir/after"
await "both have begun" test -s "$dir/before.pid" -a -s "$dir/after.pid"
before=$(sed -n 1p "$dir/before.pid"); after=$(sed -n 1p "$dir/after.pid")
ask 8 before ring; settle
check "io_uring without a trace is not told" not grep -q '"kind":"view_partial"' "$out"
order "add 3 $before $(ticks_of "$before") 3 1"
order "add 3 $after $(ticks_of "$after") 3 1"
settle
check "a trace that begins later marks what set up io_uring before" \
	has view_partial "\"flags\":1,.*\"tgid\":$before,.*\"CAUSE\":\"io_uring\""
ask 7 after ring; ask 7 after ring; settle
check "io_uring in a trace is marked once" \
	counts 1 view_partial "\"tgid\":$after,.*\"CAUSE\":\"io_uring\""
mkfifo "$dir/heir"
within "$actor" inherit < "$dir/heir" > "$dir/heir.pid" & heir_job=$!
exec 6> "$dir/heir"
await "the heir has begun" test -s "$dir/heir.pid"
heir=$(sed -n 1p "$dir/heir.pid")
order "add 3 $heir $(ticks_of "$heir") 3 1"
settle; settle
check "a ring of another process alone marks nobody" not has view_partial "\"tgid\":$heir,"
ask 6 heir use; ask 6 heir use; settle
check "using it is marked once" \
	counts 1 view_partial "\"tgid\":$heir,.*\"CAUSE\":\"io_uring\""
if command -v bpftool > /dev/null; then
	check "the globals are reached" test "$("$actor" poke "$procmond" "$(offset_of active_slots)")" = 8
	settle_stats
	check "a global of the programs that somebody changed is told" has tamper \
		'"CAUSE":"map:bss".*"CALL":"detach"'
	check "and is back" test "$("$actor" poke "$procmond" "$(offset_of active_slots)")" = 8
	settle_stats
	check "each time" counts 2 tamper '"CAUSE":"map:bss"'
else
	echo "SKIP changes to our globals: bpftool is not installed"
fi
if [ "$(uname -m)" = x86_64 ]; then
	ask 7 after compat; ask 7 after compat; settle
	check "32-bit calls of a traced process are marked once" \
		counts 1 view_partial "\"tgid\":$after,.*\"CAUSE\":\"compat32\""
	check "a process that made none is not" not has view_partial "\"tgid\":$before,.*\"CAUSE\":\"compat32\""
	ask 8 before x32; ask 8 before x32; settle
	check "x32 calls are marked as 32-bit ones" \
		counts 1 view_partial "\"tgid\":$before,.*\"CAUSE\":\"compat32\""
	printf 'void _start(void) { __asm__ volatile("int $0x80" :: "a"(1), "b"(0)); }\n' > "$dir/32.c"
	if cc -m32 -nostdlib -static -ffreestanding -o "$dir/image32" "$dir/32.c" 2>/dev/null; then
		within "$dir/image32"; settle
		check "a 32-bit image has its flag" has exec "\"flags\":32,.*\"EXE\":\"$dir/image32\""
		check "a 64-bit one has not" not has exec '"flags":32,.*"EXE":"/usr/bin'
	else
		echo "SKIP 32-bit images: this compiler makes none"
	fi
fi
echo quit >&8; echo quit >&7; echo quit >&6; exec 8>&- 7>&- 6>&-; wait $before_job $after_job $heir_job

echo "-- reused pids"
pid=$(within "$actor" reuse); settle
if [ "$pid" != 0 ]; then
	keys_of fork "\"tgid\":$pid," | sort -u > "$dir/keys"
	check "a reused pid has two forks with two keys" test_lines 2 "$dir/keys"
	keys_of exit "\"tgid\":$pid," | sort > "$dir/exits"
	check "and each key has its exit" cmp "$dir/keys" "$dir/exits"
else
	echo "SKIP a reused pid: others took it"
fi
stop_dump
start_dump --scope "$scope"
# Before 6.14 there is one pid_max for all namespaces, and so few pids would stop the machine.
pids_max=$(uname -r | awk -F '[.-]' '{ print ($1 > 6 || $1 == 6 && $2 >= 14) ? 320 : "" }')
within unshare -pf --mount-proc sh -c \
	'[ -z "$0" ] || echo $0 > /proc/sys/kernel/pid_max 2>/dev/null; exec "$@"' "$pids_max" "$actor" churn 900
settle
keys_of fork '"COMM":"live_process_ac"' > "$dir/keys"
grep '"kind":"fork"' "$out" | grep '"COMM":"live_process_ac"' | sed 's/.*"NS_PID":\([0-9]*\).*/\1/' > "$dir/ns"
if [ "$(sort -u "$dir/ns" | wc -l)" -lt 400 ]; then
	sort -u "$dir/keys" > "$dir/own-keys"
	check "pids of a small namespace come round with keys of their own" \
		test "$(wc -l < "$dir/keys")" = "$(wc -l < "$dir/own-keys")"
else
	echo "SKIP a small pid namespace: this kernel has one pid_max for all"
fi
check "every one of 900 short lives is there" test "$(wc -l < "$dir/keys")" = 900

echo "-- what runs already"
stop_dump
mkfifo "$dir/crowd"
within "$actor" crowd 500 < "$dir/crowd" > "$dir/crowd.pid" & crowd_job=$!
exec 8> "$dir/crowd"
await "the crowd is there" test -s "$dir/crowd.pid"
start_dump --scope "$scope"
crowd=$(cat "$dir/crowd.pid")
check "the snapshot has the crowd, each with its parent" \
	counts 500 snapshot "\"PARENT_TGID\":$crowd,"
check "the count at the end is right" has snapshot_end "\"COUNT\":$(grep -c '"kind":"snapshot"' "$out")"
check "with executable, arguments and directory" has snapshot \
	"\"tgid\":$crowd,.*\"EXE\":\"$actor\",\"ARGV\":\"$actor.u0000crowd.u0000500\",.*\"CWD\":\"$PWD\""
check "its keys are those of /proc" has snapshot "\"tgid\":$crowd,.*\"ticks\":$(ticks_of "$crowd"),"
order "add 9 $crowd $(ticks_of "$crowd") 1 1"
check "a trace takes in all of them" has trace_state '"CAUSE":"","COUNT":501,"SLOT":9'
# The dump holds the crowd's input open as well.
stop_dump
exec 8>&-; wait $crowd_job

echo "-- more children than the table of traced processes holds"
export PROCMOND_TEST_TRACED=1
start_dump --scope "$scope"
unset PROCMOND_TEST_TRACED
mkfifo "$dir/full"
within "$actor" crowd-when-told 5 < "$dir/full" > "$dir/full.pid" & full_job=$!
exec 8> "$dir/full"
await "the next one has begun" test -s "$dir/full.pid"
full=$(cat "$dir/full.pid")
order "add 2 $full $(ticks_of "$full") 300 1"
echo go >&8
check "the children are there, outside of the trace" counts 5 fork "\"flags\":0,.*\"PARENT_TGID\":$full,"
settle_stats
check "and each counts as a loss" holes_equal_drops 5 5
stop_dump
exec 8>&-; wait $full_job

finish_test
