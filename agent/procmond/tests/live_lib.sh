# What every live test shares: a cgroup of its own to act in, a framedump to read from, and the words
# the checks are said in. Sourced, with the build folder as $1; the test that sources it ends by
# calling `finish_test`. It guarantees that nothing it made is left behind. It must never act outside
# its cgroup.
# shellcheck shell=sh
build=$(cd "$1" && pwd)
dir=$(mktemp -d)
mount=$(awk '/ - cgroup2 /{print $5; exit}' /proc/self/mountinfo)
scope=procmond-live-$$
out=$dir/out.json
failed=0
dump_as= # words to start the dump with
dump_pid=
marker=

[ "$(id -u)" = 0 ] || { echo "live-test needs root: run it with sudo" >&2; exit 2; }
[ -n "$mount" ] || { echo "live-test needs a cgroup v2 mount" >&2; exit 2; }
mkdir -p "$mount/$scope/below"
mkfifo "$dir/in"
# A busy machine would make procmond give up what the checks wait for. There is no pressure to read here.
export PROCMOND_TEST_PRESSURE="$dir/calm"
# Letting go of the tracepoints takes the kernel 1.4 s for each dump; live_file.sh has them.
export PROCMOND_TEST_NO_TRACEFS=1

# How long a check may take to come true. Only a failure ever waits so long: a busy machine is late, and
# what is late must not look lost. Each failure halves it, so that one cause does not cost minutes.
patience=40

finish() {
	jobs -p > "$dir/jobs"
	kill $(cat "$dir/jobs") 2>/dev/null
	echo 1 > "$mount/$scope/cgroup.kill"
	for finish_round in 1 2 3 4 5 6 7 8 9 10; do
		rmdir "$mount/$scope/below" "$mount/$scope" 2>/dev/null
		[ -d "$mount/$scope" ] || break
		sleep 0.1
	done
	rm -rf "$dir"
}
trap finish EXIT
trap 'exit 143' INT TERM
# The dump may be gone before the test says so.
trap '' PIPE

comes_true() { # a command, tried until it succeeds or patience is at its end
	"$@" > /dev/null 2>&1 && return
	true_until=$(($(date +%s) + patience))
	while [ "$(date +%s)" -lt $true_until ]; do
		sleep 0.05
		"$@" > /dev/null 2>&1 && return
	done
	return 1
}
# What one needs to understand a failure from a log alone: what was asked, and what came instead.
evidence() { # the command that was checked
	printf 'asked: %s\n' "$*"
	printf 'after %s s; frames: %s; dump %s\n' "$patience" "$(wc -l < "$out")" \
		"$([ -n "$dump_pid" ] && grep State: "/proc/$dump_pid/status" | cut -f2 || echo 'has ended')"
	for word in "$@"; do
		case $word in *[!a-z_0-9]* | '') continue ;; esac
		grep "\"kind\":\"$word\"" "$out" | tail -n 4
	done
	for word in $(printf '%s\n' "$*" | grep -o 'tgid":[0-9]*,' | sort -u | head -n 2); do
		echo "of ${word%,} in all $(grep -c "\"$word" "$out"), the last:"
		grep "\"$word" "$out" | tail -n 3
	done
	for word in fidelity stats; do grep "\"kind\":\"$word\"" "$out" | tail -n 1; done
	[ ! -s "$dir/err" ] || tail -n 3 "$dir/err"
	[ "$1" != holes_equal_drops ] || cat "$dir/holes"
}
fail() { # name, then the command that was checked
	echo "FAIL $1"
	echo "FAIL $1" >> "$dir/failed"
	shift
	evidence "$@" 2>/dev/null | cut -c 1-360 | sed 's/^/     /'
	failed=1
	patience=$((patience / 2 + 1))
}
# A check that asks for what must not be, or for an exact count, stands behind `settle`.
check() { # name, then a command
	name=$1
	shift
	if comes_true "$@"; then echo "PASS $name"; else fail "$name" "$@"; fi
}
await() { # what the test itself needs to go on, then a command: says nothing when it comes true
	name=$1
	shift
	comes_true "$@" || fail "waiting until $name" "$@"
}
not() { ! "$@"; }
is_said() { grep -q -- "$1" "$2"; } # a pattern, a file
within() { # runs a command in the scope, or in the cgroup below it
	sh -c 'echo $$ > "$0/cgroup.procs"; exec "$@"' "$mount/$scope${below:-}" "$@"
}
start_dump() { # the dump's arguments
	# Emptied here and not only by the dump, or the wait below could find an earlier dump's end.
	: > "$out"
	$dump_as "$build/framedump" --procmond "$build/procmond" "$@" < "$dir/in" > "$out" 2> "$dir/err" &
	dump_pid=$!
	exec 9> "$dir/in"
	await "the dump has begun" has snapshot_end ''
}
stop_dump() {
	echo quit >&9 2>/dev/null
	exec 9>&-
	wait "$dump_pid"
	dump_code=$?
	dump_pid=
}
order() { # a line for the dump; comes back when procmond has obeyed it, which this second one shows
	commands=$((${commands:-1000} + 1))
	echo "$*" >&9
	echo "remove $commands" >&9
	await "procmond has obeyed: $(echo "$*" | cut -c 1-60)" has trace_state "\"SLOT\":$commands}"
}
gone() { ! grep -q 'State:.[^Z]' "/proc/$1/status" 2>/dev/null; } # a pid
# Until all that happened before has arrived: frames keep their order, so the one of a process that
# began now is behind them. It lives until it was seen, or a tier that polls might miss it.
settle() {
	settle_until=$(($(date +%s) + patience))
	while [ "$(date +%s)" -lt $settle_until ]; do
		marks=$((${marks:-0} + 1))
		sh -c 'echo $$ > "$0/cgroup.procs"; exec sleep "$1"' "$mount/$scope" "60.$$$marks" &
		marker=$!
		for settle_round in $(seq 100); do
			sleep 0.05
			has exec "sleep.u000060.$$$marks\"" && break
		done
		kill $marker 2>/dev/null
		wait $marker 2>/dev/null
		marker=
		# A ring that was full may have dropped it; the next one finds room.
		! has exec "sleep.u000060.$$$marks\"" || return 0
	done
	fail "waiting until a new process is told of" has exec "sleep.u000060.$$$marks\""
}
# The first sample from now on may have been taken before.
settle_stats() {
	settle
	sampled_twice
}
sampled_twice() {
	stats_needed=$(($(count_of stats '') + 2))
	await "two samples of the heads have come" at_least $stats_needed stats ''
}
# A shell in the scope that does what it is told by line, in the background, with descriptor 8 to tell
# it; its pid is in $shell. `tell` comes back when it has done so.
start_shell() {
	rm -f "$dir/sh" "$dir/shell"
	mkfifo "$dir/sh"
	: > "$dir/told"
	within sh -c 'echo $$ > "$0.new" && mv "$0.new" "$0"; exec sh' "$dir/shell" < "$dir/sh" > "$dir/told" 2>&1 &
	started=$!
	exec 8> "$dir/sh"
	await "a shell has begun" test -s "$dir/shell"
	shell=$(cat "$dir/shell")
}
tell() {
	tells=$((${tells:-0} + 1))
	echo "$*; echo; echo told-$tells" >&8
	await "the shell has done: $(echo "$*" | cut -c 1-60)" is_said "^told-$tells\$" "$dir/told"
}
end_shell() {
	echo exit >&8
	exec 8>&-
	wait $started
}
count_of() { grep "\"kind\":\"$1\"" "$out" | grep -c -- "$2"; } # kind, pattern
counts() { test "$(count_of "$2" "$3")" = "$1"; } # how many, kind, pattern
at_least() { test "$(count_of "$2" "$3")" -ge "$1"; }
shed_sum() { # class number from 1: how many were given up
	grep '"kind":"fidelity"' "$out" | sed 's/.*"SHED":\[\([0-9,]*\)\].*/\1/' | cut -d, -f"$1" |
		awk '{ sum += $1 } END { print sum + 0 }'
}
# For a storm: where the reader does not get the CPU in time, some are counted instead of told.
told_or_shed() { # how many, class number, kind, pattern
	told_now=$(count_of "$3" "$4")
	test "$told_now" -le "$1" -a $((told_now + $(shed_sum "$2"))) -ge "$1"
}
lines() { test "$(grep -c -- "$2" "$out")" = "$1"; } # how many, pattern
has() { grep "\"kind\":\"$1\"" "$out" | grep -q -- "$2"; }
ticks_of() { sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20; }
# Compares, per CPU, the numbers seen with the last heads and drops: holes must equal drops.
holes_equal_drops() { # minimum number of drops expected, maximum
	awk -v min="$1" -v max="$2" '
	match($0, /"cpu":[0-9]+/) { cpu = substr($0, RSTART + 6, RLENGTH - 6) }
	match($0, /"seq":[0-9]+/) {
		seq = substr($0, RSTART + 6, RLENGTH - 6) + 0
		if (seq > 0) { if ((cpu, seq) in at) bad = 1; at[cpu, seq] = 1; list[NR] = cpu " " seq }
	}
	match($0, /"CPU_HEADS":\[[0-9,]*\]/) {
		n = split(substr($0, RSTART + 13, RLENGTH - 14), head, ",")
		match($0, /"CPU_DROPS":\[[0-9,]*\]/)
		split(substr($0, RSTART + 13, RLENGTH - 14), drop, ",")
	}
	END {
		for (i in list) { split(list[i], p, " "); if (p[2] <= head[p[1] + 1]) seen[p[1] + 1]++ }
		for (i = 1; i <= n; i++) {
			if (head[i] - seen[i] != drop[i]) bad = 1
			total += drop[i]
			printf "cpu %d head %d seen %d drops %d\n", i - 1, head[i], seen[i], drop[i] \
				> "/dev/stderr"
		}
		exit bad || n == 0 || total < min || total > max
	}' "$out" 2> "$dir/holes"
}
finish_test() {
	[ $failed = 0 ] && echo "all passed" || { echo "FAILED:"; cat "$dir/failed"; }
	exit $failed
}
