#!/bin/sh
# Checks against the running kernel that executed files are hashed beside the event path: new, known,
# deleted, too large, changed, replaced by a mount or a rename, of another user, and while a file of 2 GiB keeps the thread busy; and that new files,
# memory headers and cgroup names arrive. Needs root. Prints PASS or FAIL per check; exits 1 when one
# failed.
set -u
. "$(dirname "$0")/live_lib.sh"

sha256() { sha256sum "$1" | cut -d' ' -f1; }
hash_of() { # a path, then its digest: told in a frame of its own
	wait_for "\"kind\":\"file_hash\".*\"PATH\":\"$1\".*\"SHA256\":\"$2\""
}
rides() { has exec "\"EXE\":\"$1\".*\"SHA256\":\"$2\""; }
thread_of() { # the hashing thread of a process: the one that is not its main thread
	for task in "/proc/$1/task"/*; do
		[ "${task##*/}" = "$1" ] || { echo "${task##*/}"; return; }
	done
}
cpu_ticks() { sed 's/.*) //' "/proc/$1/task/$2/stat" | awk '{print $12 + $13}'; }
nice_of() { sed 's/.*) //' "/proc/$1/task/$2/stat" | cut -d' ' -f17; }
run_on() { # a copy of sleep in the folder, in the background, its pid beside it; for how long
	(within sh -c 'echo $$ > "$0.pid"; exec "$0" "$1"' "$dir/$1" "$2" &)
	settle
}
milliseconds() { date +%s%3N; }

echo "-- executed files"
start_dump --scope "$scope"
cp /bin/sleep "$dir/before"
run_on before 30
echo "limits 1000000 0 0" >&9
check "what ran before the policy is hashed" hash_of "$dir/before" "$(sha256 "$dir/before")"
kill "$(cat "$dir/before.pid")"

cp /bin/sleep "$dir/new"
within "$dir/new" 0.4
check "a new executable is hashed" hash_of "$dir/new" "$(sha256 "$dir/new")"
within "$dir/new" 0.3
settle
if grep '"kind":"exec"' "$out" | grep -q '"INO"'; then
	check "a known hash rides in the exec frame" rides "$dir/new" "$(sha256 "$dir/new")"
	cp /bin/true "$dir/short"
	within "$dir/short"
	check "a process that lived for a millisecond is hashed" \
		hash_of "$dir/short" "$(sha256 "$dir/short")"
else
	echo "SKIP the kernel programs of this build do not tell which file was executed"
fi

cp /bin/sleep "$dir/deleted"
printf x >> "$dir/deleted"
deleted=$(sha256 "$dir/deleted")
within sh -c '"$0" 1 & rm "$0"; wait' "$dir/deleted"
check "a deleted executable is hashed while it runs" hash_of "$dir/deleted" "$deleted"

cp /bin/sleep "$dir/big"
truncate -s 2000000 "$dir/big"
within "$dir/big" 0.4
check "an executable above the cap has its cause" \
	wait_for "\"kind\":\"file_hash\".*\"SIZE\":2000000,.*\|\"CAUSE\":\"too_large\".*\"SIZE\":2000000"
check "and no hash" not has file_hash '"SIZE":2000000.*SHA256'

echo "-- beside the event path"
echo "limits 4294967296 0 0" >&9
cp /bin/sleep "$dir/huge"
truncate -s 2G "$dir/huge"
run_on huge 60
procmond=$(pgrep -P "$dump_pid" procmond)
thread=$(thread_of "$procmond")
check "the thread has the lowest priority" test "$(nice_of "$procmond" "$thread")" = 19
slowest=0
for i in 1 2 3 4 5 6 7 8 9 10; do
	at=$(milliseconds)
	within /bin/echo "marker-$i-" > /dev/null
	wait_for "\"kind\":\"exec\".*marker-$i-"
	took=$(($(milliseconds) - at))
	[ $took -gt $slowest ] && slowest=$took
done
check "an exec arrives within 500 ms while 2 GiB are hashed (slowest $slowest ms)" \
	test $slowest -le 500
check "2 GiB are still being hashed" not has file_hash '"SIZE":2147483648'
# What was saved while idle is spent first.
i=0
while [ "$(cpu_ticks "$procmond" "$thread")" -lt 120 ] && [ $i -lt 100 ]; do
	i=$((i + 1))
	sleep 0.1
done
from=$(cpu_ticks "$procmond" "$thread")
sleep 4
used=$(($(cpu_ticks "$procmond" "$thread") - from))
# 4 seconds are 400 ticks, a twentieth of them 20.
check "the thread takes a twentieth of a core ($used of 400 ticks)" test $used -le 28
check "and it works" test $used -ge 5
touch "$dir/huge"
kill "$(cat "$dir/huge.pid")"

echo "-- new files and memory"
mkdir "$dir/files"
mkfifo "$dir/sh"
within sh -c 'echo $$ > "$0"; exec sh' "$dir/shell" < "$dir/sh" > /dev/null 2>&1 &
started=$!
exec 8> "$dir/sh"
settle
shell=$(cat "$dir/shell")
# The thread is let go of the huge file first: it was changed while it was read.
stop_dump
start_dump --scope "$scope"
echo "limits 1000000 1000000 1" >&9
echo "add 3 $shell $(ticks_of "$shell") 255 15" >&9
wait_for '"kind":"trace_state"'
check "the shell's header is read when the trace begins" \
	wait_for "\"kind\":\"memory_header\".*\"tgid\":$shell,.*\"CONTENT\":\"7f454c46"
echo "echo abc > $dir/files/made" >&8
check "a new file is hashed" hash_of "$dir/files/made" \
	edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb
chmod 711 "$dir"
chmod 777 "$dir/files"
echo "setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'echo abc > $dir/files/others'" >&8
check "a new file of another user is hashed, after the privilege is given up" hash_of "$dir/files/others" \
	edeaaff3f1774ad2888673770c6d64097e391bc362d7d6fb34982ddf0efd18cb
for over in mount rename; do
	echo "echo abc > $dir/files/$over" >&8
	wait_for "\"kind\":\"file_create\".*\"PATH\":\"$dir/files/$over\""
	echo other > "$dir/other"
	[ $over = mount ] && mount --bind "$dir/other" "$dir/files/mount" || mv "$dir/other" "$dir/files/rename"
	check "what came over a new file by $over is not taken for it" wait_for \
		"\"kind\":\"file_hash\".*\"CAUSE\":\"changed_while_read\".*\"PATH\":\"$dir/files/$over\"\|\"kind\":\"file_hash\".*\"PATH\":\"$dir/files/$over\".*\"CAUSE\":\"changed_while_read\""
done
umount "$dir/files/mount"
echo "sleep 1" >&8
check "the header of an executed program is read" \
	wait_for '"kind":"memory_header".*"PATH":"/usr/bin/sleep".*"CONTENT":"7f454c46'
echo exit >&8; exec 8>&-; wait $started
check "the scope's cgroup is named" has cgroup "\"CGROUP_PATH\":\"/$scope\""
first=$(grep -n "\"CGROUP_PATH\":\"/$scope\"" "$out" | head -1 | cut -d: -f1)
id=$(sed -n "${first}p" "$out" | sed 's/.*"cgroup":\([0-9]*\).*/\1/')
check "before the first frame of it" \
	test "$(grep -n "\"cgroup\":$id," "$out" | head -1 | cut -d: -f1)" = "$first"
check "and once" test "$(grep -c "\"CGROUP_PATH\":\"/$scope\"" "$out")" = 1
rss_kb=$(awk '/VmRSS/{print $2}' "/proc/$(pgrep -P "$dump_pid" procmond)/status")
check "resident memory is at most 16 MiB ($rss_kb KiB)" test "$rss_kb" -le 16384
stop_dump

finish_test
