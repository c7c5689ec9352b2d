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
levels_are() { # every level in the order it was told, repetitions once
	test "$(grep '"kind":"fidelity"' "$out" | sed 's/.*"LEVEL":\([0-9]*\).*/\1/' | uniq | tr '\n' ' ')" = "$1"
}
shed_since() { test $(($(shed_sum "$2") - $3)) -ge "$1"; } # how many, class, the sum before
shed_in_all() { test "$(shed_sum "$2")" = "$1"; } # how many, class

echo "-- fidelity, tier ebpf"
pressure 0.00 0.00 0.00
start_dump --scope "$scope"
check "a signal that is not there is said once, and no other" \
	counts 1 fidelity '"CAUSE":"absent: own_memory,own_stall"'
mkdir "$dir/files"
start_shell
order "add 7 $shell $(ticks_of "$shell") 9 15"
touch_files() { # how many, and their name
	tell "i=0; while [ \$i -lt $1 ]; do : > $dir/files/$2-\$i; i=\$((i + 1)); done"
	settle
}
touch_files 20 calm
check "before pressure every file is seen" \
	lines 20 '"PATH":"[^"]*/files/calm-[0-9]'
pressure 0.00 55.00 0.00
check "memory pressure that lasts takes level 5" level_is 5
check "one level at a time" levels_are "0 1 2 3 4 5 "
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
check "calm that lasts takes everything back" level_is 0
check "one level at a time, too" levels_are "0 1 2 3 4 5 4 3 2 1 0 "
check "what was given up is counted: file detail" shed_since 20 1 "$before"
check "what was given up is counted: network" shed_since 2 4 0
touch_files 20 back
check "and afterwards every file is seen again" \
	lines 20 '"PATH":"[^"]*/files/back-[0-9]'
check "nothing is counted once everything is back" level_is 0
settle_stats
check "what was given up took no number: no hole appears" holes_equal_drops 0 0
end_shell
stop_dump

echo "-- room in the ring, at full fidelity"
start_dump --scope "$scope"
mkdir "$dir/watched"
order "policy watch $dir/watched/"
is_watched() { within sh -c ": > $dir/watched/first" && grep -q "$dir/watched/first" "$out"; }
await "the policy is in force" is_watched
write_watched() { # how often, and its name: one process of its own
	within sh -c "i=0; while [ \$i -lt $1 ]; do : > $dir/watched/$2; i=\$((i + 1)); done"
}
told_of() { grep -c "\"PATH\":\"[^\"]*/watched/$1\"" "$out"; }
is_told_or_counted() { test $(($(told_of "$2") + $(shed_sum 2) - before)) = "$1"; } # how many, name
before=$(shed_sum 2)
# A process earns 2,000 a second, so that a slow one would never be beyond its share.
greedy_ms=$(date +%s%3N)
write_watched 12000 greedy
greedy_ms=$(($(date +%s%3N) - greedy_ms))
settle
may_have=$((4000 + greedy_ms * 2 + 50))
check "a process that is not traced has a share of watched events" test "$(told_of greedy)" -ge 4000
check "and no more ($(told_of greedy) of 12000 in $greedy_ms ms)" test "$(told_of greedy)" -le $may_have
check "what is beyond it is counted, exactly" is_told_or_counted 12000 greedy
before=$(shed_sum 2)
write_watched 100 modest
settle
check "and nobody else's" lines 100 '"PATH":"[^"]*/watched/modest"'
check "nor is any of it counted" shed_in_all "$before" 2
# Nobody reads until all is written.
kill -STOP "$dump_pid"
writers=
for n in 1 2 3 4; do
	write_watched 12000 storm-$n &
	writers="$writers $!"
done
wait $writers
within sh -c 'i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i + 1)); done'
kill -CONT "$dump_pid"
settle_stats
check "a storm on watched files while nobody reads takes no exec" \
	lines 300 '"kind":"exec".*"FILENAME":"/bin/true"'
check "it takes no number either: no hole appears" holes_equal_drops 0 0
check "each file event is told or counted" is_told_or_counted 48000 "storm-[1-4]"
check "with its cause, at level 0" has fidelity '"CAUSE":"ring_busy","LEVEL":0'
stop_dump

echo "-- fidelity, its own cgroup"
printf '950\n' > "$fake/own/memory.current"
printf '1000\n' > "$fake/own/memory.max"
start_dump --scope "$scope"
check "nearing its own memory limit is pressure" has fidelity '"LEVEL":2'
check "and named" has fidelity '"CAUSE":"own_memory","LEVEL":1'
stop_dump
rm "$fake/own/memory.current" "$fake/own/memory.max"

echo "-- fidelity, tier proc"
pressure 95.00 0.00 0.00
start_dump --scope "$scope" --source proc --poll-ms 50
check "polling gives way too" level_is 5
check "looks at connections that were left out are counted" shed_since 1 4 0
pressure 0.00 0.00 0.00
check "and returns" level_is 0
stop_dump

finish_test
