#!/bin/sh
# Checks what procmond sees of sockets against the running kernel, see live_lib.sh. Needs root,
# python3, unshare and ip. Prints PASS or FAIL per check; exits 1 when one failed.
set -u
. "$(dirname "$0")/live_lib.sh"
here=$(cd "$(dirname "$0")" && pwd)

act() { # what to do; the facts it prints become variables
	within python3 "$here/live_network_actor.py" "$@" > "$dir/facts" || fail "the actor does: $*" test -s "$dir/facts"
	eval "$(cat "$dir/facts")"
	settle
}

start_dump --scope "$scope"
check "every program of the network is attached" \
	has ready '"PROGRAMS":"[^"]*sock_state[^"]*network_calls,send_calls,receive_calls,write_calls,read_calls'

echo "-- sockets made"
act made
check "a socket has its descriptor, family, type and protocol" has socket \
	"\"tgid\":$actor,.*\"FAMILY\":2,\"RESULT\":$fd,\"SOCKET_TYPE\":1,\"PROTOCOL\":6"
check "a packet socket is seen being made" has socket \
	"\"tgid\":$actor,.*\"FAMILY\":17,\"RESULT\":$packets,\"SOCKET_TYPE\":3"
check "bind has the port the kernel chose" has bind \
	"\"tgid\":$actor,.*\"FAMILY\":2,\"LADDR\":\"7f000001\",\"LPORT\":$port,\"NETNS\":$netns,\"SOCKET_TYPE\":1"
check "listen has address and port" has listen \
	"\"tgid\":$actor,.*\"LADDR\":\"7f000001\",\"LPORT\":$port,"
check "bind and listen have no far end" counts 0 bind RADDR

echo "-- TCP from connect to close"
for how in "4 client" "6 client" "4 nonblocking" "4 server" "6 server" "4 shutdown" "4 reset" "4 handed"; do
	act tcp $how
	ports="\"LPORT\":$lport,.*\"RPORT\":$rport,"
	back="\"LPORT\":$rport,.*\"RPORT\":$lport,"
	check "$how: connect by who connected" has connect "\"tgid\":$client,.*$ports.*\"RESULT\":0"
	check "$how: accept by the process that took it" has accept "\"tgid\":$worker,.*$back"
	check "$how: close of who connected, with exact bytes" has close \
		"\"tgid\":$client,.*$ports.*\"BYTES_SENT\":12345,\"BYTES_RECEIVED\":678}"
	check "$how: close of who accepted, with exact bytes" has close \
		"\"tgid\":$worker,.*$back.*\"BYTES_SENT\":678,\"BYTES_RECEIVED\":12345}"
	check "$how: one close per end" counts 2 close "PORT\":$lport,"
done
act refused
check "each refused connect is one event" counts 4 connect "tgid\":$actor,.*RPORT\":$port,.*RESULT\":-111}"
# Of IPv4 only: where HOME is not set, Python asks nscd for its user's folder, over a unix socket.
check "and nothing else" counts 4 connect "tgid\":$actor,.*FAMILY\":2,"
act late
check "a connection that ended before it was accepted is still told of" has close \
	"\"tgid\":$server,.*\"RPORT\":$lport,.*\"BYTES_RECEIVED\":100"

echo "-- datagrams"
act udp
check "a UDP connect has protocol and result" has connect \
	"\"tgid\":$actor,.*\"RPORT\":$connected,.*\"RESULT\":0,\"PROTOCOL\":17"
check "what a connected socket sends is not told again" counts 0 datagram "RPORT\":$connected,"
check "a burst to one destination is one event for each socket" \
	counts 2 datagram "tgid\":$actor,.*RPORT\":$burst,"
check "the near port is in it" has datagram "\"LPORT\":$lport,.*\"RPORT\":$burst,"
check "sendmsg is seen" has datagram "\"RADDR\":\"7f000001\",\"RPORT\":$pieces,.*\"PROTOCOL\":17"
check "each message of sendmmsg is seen" has datagram "\"RPORT\":$many,"
check "and the next one" has datagram "\"RPORT\":$more,"
check "IPv6 is seen" has datagram \
	"\"FAMILY\":10,.*\"RADDR\":\"00000000000000000000000000000001\",\"RPORT\":$six,"
check "IPv4 through an IPv6 socket is IPv4" has datagram \
	"\"FAMILY\":2,\"LADDR\":\"[0-9a-f]\{8\}\",.*\"RADDR\":\"7f000001\",\"RPORT\":$six,"
check "a raw socket is seen, without ports" has datagram \
	"\"tgid\":$actor,.*\"LPORT\":0,\"RADDR\":\"7f000001\",\"RPORT\":0,.*\"PROTOCOL\":1}"

echo "-- unix sockets"
act unix "$dir"
check "bind has the path" has bind "\"tgid\":$actor,.*\"FAMILY\":1,.*\"PATH\":\"$dir/stream\",\"SOCKET_TYPE\":1"
check "listen has the path" has listen "\"FAMILY\":1,.*\"PATH\":\"$dir/stream\""
check "connect has the path of the other end" has connect "\"FAMILY\":1,.*\"RESULT\":0,\"PATH\":\"$dir/stream\""
check "accept has the path" has accept "\"tgid\":$actor,.*\"FAMILY\":1,.*\"PATH\":\"$dir/stream\""
check "an abstract name is written with @" has connect "\"PATH\":\"@hid@den-$actor\""
check "a datagram socket is bound" has bind "\"PATH\":\"$dir/datagrams\",\"SOCKET_TYPE\":2"
check "and connected" has connect "\"PATH\":\"$dir/datagrams\""
check "a unix connect that failed has path and error" has connect "\"RESULT\":-2,\"PATH\":\"$dir/nobody\""

echo "-- DNS, in a network namespace"
printf 'nameserver 127.0.0.1\n' > "$dir/resolv.conf"
printf 'hosts: dns\n' > "$dir/nsswitch.conf"
within unshare -nm sh -c 'mount --bind "$0/resolv.conf" "$(readlink -f /etc/resolv.conf)" &&
	mount --bind "$0/nsswitch.conf" /etc/nsswitch.conf && exec python3 "$1" resolver' \
	"$dir" "$here/live_network_actor.py" > "$dir/facts" || fail "the actor resolves" test -s "$dir/facts"
eval "$(cat "$dir/facts")"
settle
check "a connect without a route is told, once" counts 1 connect \
	"\"tgid\":$actor,.*\"RADDR\":\"c0000201\",\"RPORT\":80,\"NETNS\":$netns,\"RESULT\":-101}"
for way in sendto recv write writev pwritev2 sendmsg recvmmsg library; do
	eval "pid=\$$way"
	name="u0007example"
	question="\"tgid\":$pid,.*\"RADDR\":\"7f000001\",\"RPORT\":53,\"NETNS\":$netns,\"DNS_MESSAGE\":\".*$way.$name"
	check "$way: the question, by who asked" has dns "$question.*\"DIRECTION\":0"
	check "$way: the answer, by who asked" has dns "$question.*u000a.u0009.u0008.u0007\",\"DIRECTION\":1"
	expected=1
	case $way in library | recvmmsg) expected=2 ;; esac
	check "$way: every question once" counts $expected dns "\"tgid\":$pid,.*DIRECTION\":0"
	check "$way: every answer once" counts $expected dns "\"tgid\":$pid,.*DIRECTION\":1"
done
check "mDNS and LLMNR are seen" counts 2 dns "\"tgid\":$ports,.*RPORT\":535[35],.*port535[35].u0007example"
check "other ports are not" counts 2 dns "\"tgid\":$ports,"
check "a message that is too long is cut at 1232 bytes" has dns "\"tgid\":$long,.*long.u0007example.u0000.u0000.u0001.u0000.u0001z\{1202\}\""
settle_stats
check "nothing was lost" holes_equal_drops 0 0
stop_dump

echo "-- many connects that hang"
start_dump --scope "$scope"
act hang
check "each of them is told" told_or_shed "$hanging" 4 connect "tgid\":$actor,.*RPORT\":$full,"
check "another user's connect is told as ever" has connect "\"tgid\":$other,.*\"RPORT\":$port,.*\"RESULT\":0"
check "one of the same user is, too" has connect \
	"\"tgid\":$same,.*\"LPORT\":[1-9][0-9]*,\"RADDR\":\"7f000001\",\"RPORT\":$port,.*\"RESULT\":0"
check "with its end" has close "\"tgid\":$same,.*\"RPORT\":$port,.*\"BYTES_SENT\":12345"
check "one that does not wait is told as it stands" \
	counts 1 connect "\"tgid\":$later,.*\"RPORT\":$port,.*\"RESULT\":\(0\|-115\)"
check "one that fails is told, once" counts 1 connect "\"tgid\":$refused,.*\"RPORT\":$closed,.*\"RESULT\":-111"
settle_stats
check "and nothing of it was lost" holes_equal_drops 0 0
act tcp 4 nonblocking
check "and nobody is said to have meddled with the programs" not has tamper detach
check "when they are gone there is room again" \
	counts 1 connect "\"tgid\":$client,.*\"RPORT\":$rport,.*\"RESULT\":0"
stop_dump
finish_test
