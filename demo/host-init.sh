#!/bin/bash
# The first process (PID 1) of one demo host, started in fresh network, mount, UTS and PID namespaces inside the
# host's cgroup. It puts private copies over the places the host writes to, starts one service, and then waits. The
# machine's own /run, /etc, /var, /srv, /root and /tmp are never written: `mount -n` keeps even the mount table out of
# /run. When standard input closes, because the demo ended or was killed, this process ends and the kernel ends the
# whole host with it.
#
# usage: host-init.sh STAGED NAME PATH:PATH:... LOG SERVICE [ARGUMENT ...]
#   STAGED  directory with the private content, one entry per PATH (which is given without the leading slash)
#   LOG     where the service logs, as seen inside the host
# It prints "mounted", reads a line (the network stands), prints "started" or "failed <last line of the log>".
set -euo pipefail

staged=$1 name=$2 paths=$3 log=$4
shift 4

printf '%s' "$name" >/proc/sys/kernel/hostname
# The staged directory may itself lie below a place that is covered next, so it is entered first and copied from there.
cd "$staged"
mount -n -t tmpfs -o mode=0755,size=64m tmpfs /mnt
cp -a . /mnt/
cd /
IFS=: read -ra places <<<"$paths"
for place in "${places[@]}"; do
	mount -n --bind "/mnt/$place" "/$place"
done
umount -n /mnt
echo mounted

read -r _
if "$@" </dev/null >>"$log" 2>&1; then
	echo started
else
	echo "failed $(tail -n 1 "$log")"
fi
# Orphans of the host are reaped by bash while it waits here.
read -r _ || true
