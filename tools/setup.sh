#!/bin/sh
# Prepares this machine for building, testing and running: Debian packages, node_modules, the collector, the bundles. Safe to
# repeat: each step looks first, and a second run is over in a moment. Starts no service and leaves none running that it
# installed. Must never remove or reconfigure what was here before.

set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"

usage='usage: npm run setup
Installs missing Debian packages (as root), npm modules, builds procmond and the bundles. Safe to repeat.
  example: npm run setup
Exit 0 ready, 1 something needed could not be done.'
case "${1:-}" in
"") ;;
-h | --help) printf '%s\n' "$usage" && exit 0 ;;
*) printf '%s\n' "$usage" >&2 && exit 2 ;;
esac

scratch=$(mktemp -d)
child=
masked=

unmask() {
	[ -z "$masked" ] || systemctl unmask --runtime --quiet $masked || true
	masked=
}
cleanup() {
	[ -z "$child" ] || kill "$child" 2>/dev/null || true
	unmask
	rm -rf "$scratch"
}
trap cleanup EXIT
trap 'printf "\nStopped. Run it again: it goes on where it was.\n"; exit 130' INT TERM HUP

say() { printf '%s\n' "$*"; }
seconds() { echo $(($(date +%s) - started)); }
step() {
	label=$1
	started=$(date +%s)
}
done_with() { say "$(printf '%-12s %s (%s s)' "$label" "$1" "$(seconds)")"; }
fail() {
	say "$(printf '%-12s %s' "$label" "$1")" >&2
	exit 1
}

# Runs a command with its output in a file; says every two seconds that it is still at work, and shows the end of the output
# when it fails.
run() {
	"$@" >"$scratch/out" 2>&1 </dev/null &
	child=$!
	waited=0
	while kill -0 "$child" 2>/dev/null; do
		sleep 0.1
		waited=$((waited + 1))
		if [ $((waited % 20)) -eq 0 ]; then
			printf '%-12s … %s s: %s\n' "$label" "$(seconds)" "$(tail -n 1 "$scratch/out" | cut -c 1-90)"
		fi
	done
	status=0
	wait "$child" || status=$?
	child=
	[ "$status" -eq 0 ] || tail -n 20 "$scratch/out" >&2
	return "$status"
}

# --- Node -------------------------------------------------------------------------------------------------------------------

step node
command -v node >/dev/null 2>&1 || fail "Node is missing: install Node 20 or later (Debian: nodejs npm)."
command -v npm >/dev/null 2>&1 || fail "npm is missing: install it beside Node (Debian: npm)."
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || fail "Node $major is too old: 20 or later is needed to bring in the pinned one."
done_with "$(node --version) starts the rest; npm scripts use the pinned one"

# --- Debian packages --------------------------------------------------------------------------------------------------------

step packages
missing=
report="$scratch/report"
: >"$report"
# need PACKAGE COMMAND-OR-FILE WHAT-IS-LOST-WITHOUT-IT
need() {
	case "$2" in
	/*) [ -e "$2" ] && return 0 ;;
	*) command -v "$2" >/dev/null 2>&1 && return 0 ;;
	esac
	missing="$missing $1"
	printf '  %-18s without it: %s\n' "$1" "$3" >>"$report"
}
need util-linux setpriv "nothing runs: the supervisor ties its children to itself with it"
need util-linux flock "nothing runs: the data directory is locked with it"
need make make "no procmond, so an agent captures nothing"
need gcc gcc "no procmond, so an agent captures nothing"
need libc6-dev /usr/include/stdio.h "no procmond, so an agent captures nothing"
need libssl-dev /usr/include/openssl/sha.h "no procmond, so an agent captures nothing"
need clang clang "no ebpf tier; the netlink and proc tiers remain"
need libbpf-dev /usr/include/bpf/libbpf.h "no ebpf tier; the netlink and proc tiers remain"
need libelf-dev /usr/include/libelf.h "no ebpf tier; the netlink and proc tiers remain"
need zlib1g-dev /usr/include/zlib.h "no ebpf tier; the netlink and proc tiers remain"
need bpftool bpftool "no ebpf tier; the netlink and proc tiers remain"
runtime=$(clang -print-runtime-dir 2>/dev/null || true)
need libclang-rt-dev "${runtime:-/no-clang}/libclang_rt.fuzzer-$(uname -m).a" "all works; fuzzing of procmond is blind to coverage"
need openssl openssl "all works; the tests that ask openssl for its verdict are skipped"
need procps pgrep "all works; the live tests of procmond fail"
need strace strace "all works; the fault matrix on real processes is skipped"
need python3 python3 "all works; the live test of the network fails"
need iproute2 ip "all works; tests and demo with several network namespaces are skipped"
need tcpdump tcpdump "all works; the test that nothing leaves the enclave is skipped"
need apache2 apache2 "all works; the demo's web server is missing"
need openssh-server sshd "all works; the demo's hop by ssh is missing"
need openssh-client ssh "all works; the demo's hop by ssh is missing"
need chromium chromium "all works; browser tests are skipped"
need fonts-dejavu-core /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf "all works; screenshots of browser tests have no text"

# Debian starts a service when it installs it. Under systemd the units are masked for the moment of installing; elsewhere
# RUNLEVEL=1 tells invoke-rc.d that no service belongs to this run level. Neither outlives this script.
install_packages() {
	if [ -d /run/systemd/system ]; then
		for unit in apache2 ssh; do
			case "$missing" in *"$unit"*) masked="$masked $unit.service" ;; esac
		done
		[ -z "$masked" ] || systemctl mask --runtime --quiet $masked
	fi
	export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
	set -- $missing
	# A new machine has no package lists yet: asking for a package first would only print errors.
	[ -n "$(find /var/lib/apt/lists -name '*Packages*' -print 2>/dev/null | head -n 1)" ] || run apt-get update || return 1
	if ! run apt-get install --yes --no-install-recommends "$@"; then
		say "$(printf '%-12s %s' "$label" "the package lists may be old: apt-get update, then once more")"
		run apt-get update && run apt-get install --yes --no-install-recommends "$@" || return 1
	fi
	unmask
	[ ! -d /run/systemd/system ] || for unit in apache2 ssh; do
		case "$missing" in *"$unit"*) systemctl disable --quiet "$unit.service" || true ;; esac
	done
}

# Two checks may have named one package.
missing=$(printf '%s\n' $missing | sort -u | tr '\n' ' ')
if [ -z "$(echo $missing)" ]; then
	done_with "all there"
elif [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
	say "$(printf '%-12s %s' "$label" "installing: $missing")"
	if install_packages; then
		done_with "installed; no service was started or enabled"
	else
		unmask
		say "$(printf '%-12s %s' "$label" "could not be installed:")"
		cat "$report"
	fi
else
	done_with "missing, and only root can install them:"
	cat "$report"
	say "  as root: apt-get install --no-install-recommends $missing"
fi
command -v setpriv >/dev/null 2>&1 && command -v flock >/dev/null 2>&1 || fail "util-linux is needed; see above."

# --- npm modules ------------------------------------------------------------------------------------------------------------

step modules
stamp=node_modules/.setup-stamp
lock_hash=$(cksum <package-lock.json)
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$lock_hash" ]; then
	done_with "up to date"
elif [ ! -e "$stamp" ] && [ -e node_modules/.package-lock.json ] &&
	[ -z "$(find package-lock.json -newer node_modules/.package-lock.json)" ]; then
	# Somebody ran npm himself, after the lock file was last changed.
	echo "$lock_hash" >"$stamp"
	done_with "up to date"
else
	rm -f "$stamp"
	run npm ci --no-progress || fail "npm ci failed. Without a registry, bring node_modules from a machine that has one."
	echo "$lock_hash" >"$stamp"
	done_with "installed"
fi

# --- The collector ----------------------------------------------------------------------------------------------------------

step procmond
if ! command -v make >/dev/null 2>&1 || ! command -v gcc >/dev/null 2>&1; then
	done_with "not built: make or gcc is missing, so this machine cannot run an agent"
else
	target=all
	tier="with the ebpf, netlink and proc tiers"
	for each in /sys/kernel/btf/vmlinux /usr/include/bpf/libbpf.h /usr/include/libelf.h; do
		[ -r "$each" ] || lacks=$each
	done
	for each in clang bpftool; do
		command -v "$each" >/dev/null 2>&1 || lacks=$each
	done
	if [ -n "${lacks:-}" ]; then
		target=proc-only
		tier="with the netlink and proc tiers, without ebpf: $lacks is missing"
	fi
	run make -C agent/procmond "$target" || fail "make -C agent/procmond $target failed; its last lines are above."
	done_with "built $tier"
fi

# --- Bundles ----------------------------------------------------------------------------------------------------------------

step bundles
built=dist/.setup-stamp
sources="agent core durable workers web verify migrations package-lock.json $(echo tools/build*.ts)"
if [ -e "$built" ] && [ -z "$(find $sources -path agent/procmond -prune -o -newer "$built" -print 2>/dev/null | head -n 1)" ]; then
	done_with "up to date"
else
	# Taken before the build, so that a file saved while it runs counts as newer.
	: >"$scratch/stamp"
	run npm run build --silent || fail "npm run build failed; its last lines are above."
	mkdir -p dist
	cp -p "$scratch/stamp" "$built"
	done_with "built"
fi

say ""
say "Ready. Next: npm start (an enclave on this machine), npm run demo, or npm test."
