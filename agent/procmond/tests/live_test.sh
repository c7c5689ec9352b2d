#!/bin/sh
# Checks procmond against the running kernel: what it must see, and what it must not. Every check
# acts inside a cgroup of its own, so other work on the machine does not disturb it. Needs root.
# Prints PASS or FAIL per check; exits 1 when one failed.
set -u
. "$(dirname "$0")/live_lib.sh"

echo "-- kernel programs"
check "every program loads and attaches" "$build/procmond" --verify-load

echo "-- processes and connections, in a scope"
start_dump --scope "$scope"
check "ready says tier ebpf and nothing missing" \
	has ready '"tier":1.*"MISSING":"","CAUSE":""'
within /bin/echo 'two words' x > /dev/null
printf '#!/bin/sh\nexit 7\n' > "$dir/script"; chmod +x "$dir/script"
within "$dir/script" a
within sh -c 'kill -9 $$'
thread_pid=$(within "$build/live_actor" thread-exec | sed -n 1p)
below=/below within /bin/echo in-the-cgroup-below > /dev/null
/bin/echo outside-of-the-scope > /dev/null
settle
check "exec has executable, argv and name as typed" has exec \
	'"EXE":"/usr/bin/echo","FILENAME":"/bin/echo","ARGV":"/bin/echo\\u0000two words\\u0000x"'
check "a script shows its interpreter as executable" has exec \
	"\"EXE\":\"[^\"]*sh\",\"FILENAME\":\"$dir/script\",\"ARGV\":\"/bin/sh.u0000$dir/script.u0000a\""
check "an exit code is seen" has exit '"EXIT_CODE":1792'
check "an exit by SIGKILL is seen" has exit '"EXIT_CODE":9}'
check "an exec from a second thread keeps the process" has exec \
	"\"tgid\":$thread_pid,.*\"ARGV\":\"echo.u0000from-thread\""
check "exactly one exit for a process with threads" counts 1 exit "\"tgid\":$thread_pid,"
check "a cgroup below the scope counts" has exec 'in-the-cgroup-below'
check "a process outside of the scope does not" not grep -q outside-of-the-scope "$out"

for kind in net4 net6 mapped; do
	set -- $(within "$build/live_actor" $kind)
	settle
	case $kind in
	net6) family=10 address=00000000000000000000000000000001 ;;
	*) family=2 address=7f000001 ;;
	esac
	tuple="\"FAMILY\":$family,\"LADDR\":\"$address\",\"LPORT\":%s,"
	tuple="$tuple\"RADDR\":\"$address\",\"RPORT\":%s,"
	check "$kind: connect with both ports" \
		has connect "\"tgid\":$1,.*$(printf "$tuple" "$2" "$4").*\"RESULT\":0"
	check "$kind: accept with both ports, by who accepted" \
		has accept "\"tgid\":$3,.*$(printf "$tuple" "$4" "$2")"
done
set -- $(within "$build/live_actor" refused)
settle
check "a refused connect has its error" \
	has connect "\"tgid\":$1,.*\"RPORT\":$4,.*\"RESULT\":-111"
check "a refused connect has its local port" \
	not has connect "\"tgid\":$1,.*\"LPORT\":0,"

echo "-- traces"
mkfifo "$dir/act"
mkdir "$dir/files"
within "$build/live_actor" lineage "$dir/files" < "$dir/act" > "$dir/root" &
actor=$!
exec 8> "$dir/act"
await "the lineage has begun" test -s "$dir/root"
root=$(sed -n 1p "$dir/root")
ticks=$(ticks_of "$root")
rounds=0
act() { # every generation touches its files; comes back when all have
	rounds=$((rounds + 1))
	echo go >&8
	await "the lineage has touched its files" is_said "^$rounds\$" "$dir/root"
	settle
}
act
check "no file events before a trace" not grep -q '"kind":"file_' "$out"
order "add 5 $root $ticks 1 1"
check "trace_add counts root and child at depth 1" \
	has trace_state '"CAUSE":"","COUNT":2,"SLOT":5'
act
for kind in create open unlink; do
	check "file_$kind of the root" has file_$kind \
		"\"flags\":[0-9]*[1357],.*\"PATH\":\"$dir/files/[a-z]*-root\""
	check "file_$kind of a child that ran before" has file_$kind \
		"PATH\":\"$dir/files/[a-z]*-child\""
done
check "file_rename has both paths" has file_rename \
	"\"PATH\":\"$dir/files/new-child\",\"PATH_TO\":\"$dir/files/moved-child\""
check "depth 1 leaves the grandchild out" not grep -q 'file_.*-grandchild' "$out"
order "add 5 $root $ticks 300 1"
act
check "depth 300 takes the grandchild in" has file_create '-grandchild'
order "remove 5"
settle
before=$(grep -c '"kind":"file_' "$out")
act
check "trace_remove ends file events" lines "$before" '"kind":"file_'
order "add 6 $root $((ticks + 1)) 3 1"
check "a reused pid is root_gone" has trace_state '"CAUSE":"root_gone","COUNT":0,"SLOT":6'
order "add 64 $root $ticks 3 1"
check "a slot out of range is answered" has trace_state '"CAUSE":"slot_range","COUNT":0,"SLOT":64}'
echo quit >&8; exec 8>&-; wait $actor

start_shell
order "add 7 $shell $(ticks_of $shell) 2 1"
tell "sh -c 'cat /etc/hostname; sh -c \"cat /etc/passwd; true\"; true'; cat /etc/group"
settle
check "a new child is traced from its first instruction" \
	has file_open '"PATH":"/etc/ld.so.cache".*"COMM":"cat"\|"COMM":"cat".*"PATH":"/etc/ld.so.cache"'
check "fork of a traced process carries the flag" has fork "\"flags\":1,.*\"PARENT_TGID\":$shell,"
check "depth counts down over new generations" not has file_open '"PATH":"/etc/passwd"'
check "siblings of a new child are in scope" has file_open '"PATH":"/etc/group"'
end_shell

echo "-- loss is exact"
within "$build/live_actor" storm 2000 10
settle_stats
check "an exec storm of 2,000 leaves no holes" holes_equal_drops 0 0
check "and every exec of it was seen" at_least 2000 exec 'ARGV":"true'
kill -STOP "$dump_pid"
within "$build/live_actor" storm 1500 15000
kill -CONT "$dump_pid"
settle_stats
check "a reader that stands still loses, and the holes equal the drop counters" holes_equal_drops 1 1000000

echo "-- ending"
procmond=$(pgrep -P "$dump_pid" procmond)
rss_kb=$(awk '/VmRSS/{print $2}' "/proc/$procmond/status")
check "resident memory is at most 16 MiB ($rss_kb KiB)" test "$rss_kb" -le 16384
stop_dump
check "end of the agent ends procmond with 0" test "$dump_code" = 0
start_dump
procmond=$(pgrep -P "$dump_pid" procmond)
kill -9 "$dump_pid"; exec 9>&-
check "procmond does not outlive a killed agent" gone "$procmond"
dump_pid=
start_dump
echo bad >&9
await "procmond has ended the link" gone "$dump_pid"
stop_dump
check "a malformed command ends it with 4" test "$dump_code" = 4
check "and names the reason" grep -q frame_length "$dir/err"
"$build/framedump" --procmond "$build/procmond" --scope /no/such --seconds 60 \
	< /dev/null > /dev/null 2>&1
check "a scope that is not there ends it with 3" test $? = 3

echo "-- launcher"
# A copy of its own, because other agents may run on this machine.
cp "$build/procmond" "$dir/procmond-launched"
"$build/launch" --procmond "$dir/procmond-launched" -- sh -c \
	'test -S /proc/$$/fd/3 && ls /proc/$$/fd | tr "\n" " "; exit 5' > "$dir/fds"
check "the agent's exit code is the launcher's" test $? = 5
check "the agent holds descriptor 3" grep -q '3' "$dir/fds"
check "no procmond and no zombie is left behind" not pgrep -f "^$dir/procmond-launched"
"$build/launch" --procmond /no/such -- true 2> "$dir/err"
check "a missing procmond is 126" test $? = 126
check "and is named" grep -q '/no/such' "$dir/err"

echo "-- the polling tier"
start_dump --source proc --poll-ms 50 --scope "$scope"
check "source proc is tier 3" has ready '"tier":3.*"CAUSE":"configured"'
within sh -c 'echo $$ > "$0"; exec sleep 120' "$dir/polled" &
polled_job=$!
check "exec is seen by polling" has exec '"tier":3,.*"ARGV":"sleep.u0000120"'
polled=$(cat "$dir/polled")
kill "$polled"
wait $polled_job
check "exit is seen by polling" has exit "\"tier\":3,.*\"tgid\":$polled,"
stop_dump
chmod 755 "$dir"; cp "$build/procmond" "$build/framedump" "$dir/"
build_kept=$build build=$dir
dump_as="setpriv --reuid 65534 --regid 65534 --clear-groups"
start_dump
check "without root it falls back and says why" \
	has ready '"tier":[23].*"CAUSE":"ebpf: no_bpf_permission'
stop_dump
build=$build_kept dump_as=

echo "-- recording and replay"
start_dump --scope "$scope" --arg --record --arg "$dir/recording"
within /bin/echo recorded > /dev/null
settle
# The dump ends before procmond does: the recording may have more.
stop_dump
cp "$out" "$dir/sent"
start_dump --arg --replay --arg "$dir/recording"
order "add 1 1 1 1 1"
grep -v '"kind":"trace_state"' "$out" > "$dir/replayed"
check "a replay has every frame" sh -c \
	'head -n "$(wc -l < "$0")" "$1" | sed "s/\"flags\":16,/\"flags\":0,/" | cmp - "$0"' "$dir/sent" "$dir/replayed"
check "each is marked" not grep -qv '"flags":16,' "$dir/replayed"
check "a trace during replay is refused by name" has trace_state '"CAUSE":"replay"'
stop_dump
head -c -1 "$dir/recording" > "$dir/cut"
"$build/framedump" --procmond "$build/procmond" --arg --replay --arg "$dir/cut" --seconds 60 \
	< /dev/null > /dev/null 2>&1
check "a cut recording is refused with 5" test $? = 5

finish_test
