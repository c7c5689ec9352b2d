# Prints what this user can see, one "SECTION<tab>ITEM" per line. Arguments: MARKER ENDPOINT_PIDS TARGET_PID, pids with commas.
# It changes nothing and never waits. Volatile numbers (memory, time, switches) are left out: they differ from one look to the next.
marker=$1
endpoint=$(echo "$2" | tr , ' ')
target=$3
self=$$

put() { printf '%s\t%s\n' "$1" "$2"; }
each() { while IFS= read -r line; do put "$1" "$line"; done; }
status() { # section, pid
	sed -n 's/[ \t][ \t]*/ /g; /^\(Vm\|Rss\|State\|.*ctxt_switches\|HugetlbPages\|SigQ\|Cpus\|Mems\|THP\|untag\)/!p' "/proc/$2/status" 2>/dev/null | each "$1.status"
}
reach() { # section, pid: which of its files this user may read
	for name in environ maps smaps mem io stack syscall auxv wchan pagemap cmdline exe cwd root limits cgroup sched oom_score_adj mountinfo; do
		if [ -L "/proc/$2/$name" ]; then readlink "/proc/$2/$name" >/dev/null 2>&1; else dd if="/proc/$2/$name" of=/dev/null bs=64 count=1 2>/dev/null; fi
		put "$1.readable" "$name $?"
	done
	ls "/proc/$2/fd" >/dev/null 2>&1
	put "$1.readable" "fd $?"
}

ps -e -o pid=,ppid=,uid=,comm=,args= | awk -v self="$self" '$1 != self && $2 != self' | each process
for pid in $endpoint; do
	status "endpoint.$pid" "$pid"
	reach "endpoint.$pid" "$pid"
	tr '\0' ' ' < "/proc/$pid/cmdline" 2>/dev/null | each "endpoint.$pid.cmdline"
	ls "/proc/$pid/task" 2>/dev/null | each "endpoint.$pid.task"
	for fd in "/proc/$pid/fd"/*; do
		[ -e "$fd" ] || [ -L "$fd" ] || continue
		put "endpoint.$pid.fd" "${fd##*/} $(readlink "$fd")"
		sed -n 's/^\(prog_id\|map_id\|link_id\):[ \t]*/\1 /p' "/proc/$pid/fdinfo/${fd##*/}" 2>/dev/null | each "endpoint.$pid.bpf"
	done
	awk '$6 != "" {print $2, $6}' "/proc/$pid/maps" 2>/dev/null | sort -u | each "endpoint.$pid.mapped"
	tr '\0' '\n' < "/proc/$pid/environ" 2>/dev/null | each "endpoint.$pid.environ"
done
status target "$target"
reach target "$target"
tr '\0' '\n' < "/proc/$target/environ" 2>/dev/null | each target.environ
for fd in "/proc/$target/fd"/*; do [ -L "$fd" ] && put target.fd "$(readlink "$fd")"; done

for table in tcp tcp6 udp udp6 raw raw6; do
	awk -v t="$table" 'NR > 1 && $10 != 0 {print t, $2, $3, $4, "uid", $8, "inode", $10}' "/proc/net/$table" 2>/dev/null | each socket
done
awk 'NR > 1 {print "unix", $5, $6, $8, "inode", $7}' /proc/net/unix 2>/dev/null | each socket
awk 'NR > 1 {print "netlink", $2, $4, "inode", $10}' /proc/net/netlink 2>/dev/null | each socket
awk 'NR > 1 {print "packet", $4, "inode", $9}' /proc/net/packet 2>/dev/null | each socket
cut -d' ' -f4- /proc/self/mountinfo | sort | each mount
cut -d' ' -f1 /proc/modules 2>/dev/null | each module
cut -d' ' -f2- /proc/keys 2>/dev/null | awk '{print $1, $3, $4, $5, $6, $7}' | each key
tail -n +2 -q /proc/sysvipc/* 2>/dev/null | each ipc
cat /sys/kernel/tracing/set_event /sys/kernel/debug/tracing/set_event 2>/dev/null | each tracing
cat /sys/fs/bpf/progs.debug /sys/fs/bpf/maps.debug 2>/dev/null | each tracing
sysctl -n kernel.bpf_stats_enabled kernel.perf_event_paranoid 2>/dev/null | each tracing
dmesg 2>/dev/null | tail -n 400 | cut -d']' -f2- | each dmesg
auditctl -s 2>/dev/null | grep -v backlog | each audit
if [ "$(id -u)" = 0 ]; then
	# Who else holds kernel objects: another sensor's are not ours. An object that nobody holds is nobody's excuse.
	for pid in $(ls /proc | grep '^[0-9]'); do
		case " $endpoint " in *" $pid "*) continue ;; esac
		cat "/proc/$pid/fdinfo/"* 2>/dev/null | sed -n 's/^\(prog\|map\|link\)_id:[ \t]*/\1 /p' | each held
	done
	for kind in prog map link; do bpftool "$kind" list 2>/dev/null | grep '^[0-9]' | each "bpf.$kind"; done
fi
find / -xdev -cnewer "$marker" ! -type d ! -path '/proc/*' ! -path '/sys/*' -printf '%p\n' 2>/dev/null | each changed
