#!/bin/sh
# Checks that pressure lowers fidelity in the stated order, that what is given up is counted, that
# everything comes back, and that no storm of files takes the ring from process events. Wants the procmond for tests, which reads pressure from a directory
# and waits in tenths of seconds. Needs root. Prints PASS or FAIL per check; exits 1 when one failed.
set -u
. "$(dirname "$0")/live_lib.sh"

fake=$dir/pressure
mkdir -p "$fake/own"
export PROCMOND_TEST_PRESSURE="$fake"
pressure() { # cpu some, memory full, io full
	for pair in "cpu $1 0.00" "memory 0.00 $2" "io 0.00 $3"; do
		set -- $pair
		# Replaced whole, as the kernel's own file is never seen half-written.
		printf 'some avg10=%s avg60=0.00 avg300=0.00 total=1\nfull avg10=%s avg60=0.00 avg300=0.00 total=1\n' \
			"$2" "$3" > "$fake/new"
		mv "$fake/new" "$fake/$1"
	done
}
level_is() { # the level of the last fidelity frame
	[ "$(grep '"kind":"fidelity"' "$out" | tail -n 1 | sed 's/.*"LEVEL":\([0-9]*\).*/\1/')" = "$1" ]
}
wait_level() {
	i=0
	until level_is "$1"; do
		i=$((i + 1))
		[ $i -gt 160 ] && return 1
		sleep 0.05
	done
}
levels() { # every level in the order it was told, repetitions once
	grep '"kind":"fidelity"' "$out" | sed 's/.*"LEVEL":\([0-9]*\).*/\1/' | uniq | tr '\n' ' '
}
shed_sum() { # class number from 1
	grep '"kind":"fidelity"' "$out" | sed 's/.*"SHED":\[\([0-9,]*\)\].*/\1/' | cut -d, -f"$1" |
		awk '{ sum += $1 } END { print sum + 0 }'
}
seen() { grep -c "\"kind\":\"$1\"" "$out"; }

echo "-- fidelity, tier ebpf"
pressure 0.00 0.00 0.00
start_dump --scope "$scope"
wait_for '"kind":"fidelity"'
check "a signal that is not there is said once, and no other" \
	test "$(grep '"kind":"fidelity"' "$out" | grep -c '"CAUSE":"absent: own_memory,own_stall"')" = 1
mkdir "$dir/files"
mkfifo "$dir/sh"
within sh -c 'echo $$ > "$0"; exec sh' "$dir/shell" < "$dir/sh" > /dev/null 2>&1 &
started=$!
exec 8> "$dir/sh"
sleep 0.3
shell=$(cat "$dir/shell")
echo "add 7 $shell $(ticks_of "$shell") 9 15" >&9
wait_for '"kind":"trace_state"'
touch_files() { # how many, and their name
	echo "i=0; while [ \$i -lt $1 ]; do : > $dir/files/$2-\$i; i=\$((i + 1)); done; echo > $dir/files/$2-done" >&8
	i=0
	until [ -e "$dir/files/$2-done" ] || [ $i -gt 100 ]; do i=$((i + 1)); sleep 0.05; done
	settle
}
touch_files 20 calm
check "before pressure every file is seen" \
	test "$(grep -c '"PATH":"[^"]*/files/calm-[0-9]' "$out")" = 20
pressure 0.00 55.00 0.00
check "memory pressure that lasts takes level 5" wait_level 5
check "one level at a time" test "$(levels)" = "0 1 2 3 4 5 "
check "each says its cause" has fidelity '"CAUSE":"memory","LEVEL":5'
before=$(shed_sum 1)
touch_files 20 pressed
within /bin/echo still-seen > /dev/null
within "$build/live_actor" net4 > /dev/null
settle
check "no file is told of" not grep -q '/files/pressed-[0-9]' "$out"
check "no connection is told of" not has connect '"RPORT"'
check "exec and exit are" has exec 'still-seen'
pressure 0.00 0.00 0.00
check "calm that lasts takes everything back" wait_level 0
check "one level at a time, too" test "$(levels)" = "0 1 2 3 4 5 4 3 2 1 0 "
check "what was given up is counted: file detail" test $(($(shed_sum 1) - before)) -ge 20
check "what was given up is counted: network" test "$(shed_sum 4)" -ge 2
touch_files 20 back
check "and afterwards every file is seen again" \
	test "$(grep -c '"PATH":"[^"]*/files/back-[0-9]' "$out")" = 20
check "nothing is counted once everything is back" level_is 0
settle_stats
check "what was given up took no number: no hole appears" holes_equal_drops 0 0
echo exit >&8
exec 8>&-
wait $started
stop_dump

echo "-- room in the ring, at full fidelity"
start_dump --scope "$scope"
mkdir "$dir/watched"
echo "policy watch $dir/watched/" >&9
i=0
until has file_create "$dir/watched/first" || [ $i -gt 100 ]; do
	within sh -c "rm -f $dir/watched/first; : > $dir/watched/first"
	i=$((i + 1))
	sleep 0.03
done
write_watched() { # how often, and its name: one process of its own
	within sh -c "i=0; while [ \$i -lt $1 ]; do : > $dir/watched/$2; i=\$((i + 1)); done"
}
told_of() { grep -c "\"PATH\":\"[^\"]*/watched/$1\"" "$out"; }
before=$(shed_sum 2)
write_watched 12000 greedy
settle
settle
check "a process that is not traced has a share of watched events" \
	test "$(told_of greedy)" -ge 4000 -a "$(told_of greedy)" -lt 12000
check "what is beyond it is counted, exactly" \
	test $(($(told_of greedy) + $(shed_sum 2) - before)) = 12000
before=$(shed_sum 2)
write_watched 100 modest
settle
check "and nobody else's" test "$(told_of modest)" = 100 -a "$(shed_sum 2)" = "$before"
echo "pause 6" >&9
settle
writers=
for n in 1 2 3 4; do
	write_watched 12000 storm-$n &
	writers="$writers $!"
done
wait $writers
within sh -c 'i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i + 1)); done'
sleep 5
wait_for '"CAUSE":"ring_busy"'
settle_stats
told=0
for n in 1 2 3 4; do told=$((told + $(told_of storm-$n))); done
check "a storm on watched files while nobody reads takes no exec" \
	test "$(grep -c '"kind":"exec".*"FILENAME":"/bin/true"' "$out")" = 300
check "it takes no number either: no hole appears" holes_equal_drops 0 0
check "each file event is told or counted" test $((told + $(shed_sum 2) - before)) = 48000
check "with its cause, at level 0" has fidelity '"CAUSE":"ring_busy","LEVEL":0'
stop_dump

echo "-- fidelity, its own cgroup"
printf '950\n' > "$fake/own/memory.current"
printf '1000\n' > "$fake/own/memory.max"
start_dump --scope "$scope"
check "nearing its own memory limit is pressure" wait_level 2
check "and named" has fidelity '"CAUSE":"own_memory","LEVEL":1'
stop_dump
rm "$fake/own/memory.current" "$fake/own/memory.max"

echo "-- fidelity, tier proc"
pressure 95.00 0.00 0.00
start_dump --scope "$scope" --source proc --poll-ms 50
check "polling gives way too" wait_level 5
settle
check "looks at connections that were left out are counted" test "$(shed_sum 4)" -gt 0
pressure 0.00 0.00 0.00
check "and returns" wait_level 0
stop_dump

finish_test
