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
dump_pid=

[ "$(id -u)" = 0 ] || { echo "live-test needs root: run it with sudo" >&2; exit 2; }
[ -n "$mount" ] || { echo "live-test needs a cgroup v2 mount" >&2; exit 2; }
mkdir -p "$mount/$scope/below"
mkfifo "$dir/in"
# A busy machine would make procmond give up what the checks wait for. There is no pressure to read here.
export PROCMOND_TEST_PRESSURE="$dir/calm"

finish() {
	[ -n "$dump_pid" ] && kill "$dump_pid" 2>/dev/null
	sleep 0.2
	rmdir "$mount/$scope/below" "$mount/$scope" 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT
# The dump may be gone before the test says so.
trap '' PIPE

check() { # name, then a command
	name=$1
	shift
	if "$@" >/dev/null 2>&1; then
		echo "PASS $name"
	else
		echo "FAIL $name"
		echo "FAIL $name" >> "$dir/failed"
		# The loss table belongs to this check alone.
		[ "$1" != holes_equal_drops ] || sed 's/^/     /' "$dir/holes"
		failed=1
	fi
}
not() { ! "$@"; }
within() { # runs a command in the scope, or in the cgroup below it
	sh -c 'echo $$ > "$0/cgroup.procs"; exec "$@"' "$mount/$scope${below:-}" "$@"
}
start_dump() { # the dump's arguments
	# Emptied here and not only by the dump, or the wait below could find an earlier dump's end.
	: > "$out"
	"$build/framedump" --procmond "$build/procmond" "$@" < "$dir/in" > "$out" 2> "$dir/err" &
	dump_pid=$!
	exec 9> "$dir/in"
	wait_for '"kind":"snapshot_end"'
}
stop_dump() {
	echo quit >&9 2>/dev/null
	exec 9>&-
	wait "$dump_pid"
	dump_code=$?
	dump_pid=
}
wait_for() { # a pattern in the output
	i=0
	while ! grep -q -- "$1" "$out"; do
		i=$((i + 1))
		[ $i -gt 100 ] && return 1
		sleep 0.05
	done
}
gone() { # a pid; detaching the kernel programs takes a moment
	i=0
	while grep -q 'State:.[^Z]' "/proc/$1/status" 2>/dev/null; do
		i=$((i + 1))
		[ $i -gt 60 ] && return 1
		sleep 0.05
	done
}
# Until nothing has come for 0.3 s, at most 10 s: what is late on a busy machine must not look lost.
settle() {
	settle_bytes=-1
	for settle_round in $(seq 33); do
		settle_now=$(wc -c < "$out")
		[ "$settle_now" = "$settle_bytes" ] && return 0
		settle_bytes=$settle_now
		sleep 0.3
	done
}
settle_stats() { sleep 2.3; }
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
