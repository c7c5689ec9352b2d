"""Does one thing with sockets that the live test of the network wants to see observed, and prints
what it did as shell assignments. It guarantees that what it prints is what it did: pids, ports and
namespaces come from the kernel. It must never talk to anything but this machine."""

import ctypes
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time

SENT = 12345
RECEIVED = 678
LIBC = ctypes.CDLL(None, use_errno=True)
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def tell(**facts):
	print(" ".join(f"{name}={value}" for name, value in facts.items()), flush=True)


def in_child(act):
	"""Runs act in a forked process, whose pid it returns; the child ends without a word."""
	pid = os.fork()
	if pid == 0:
		code = 1
		try:
			act()
			code = 0
		finally:
			os._exit(code)
	return pid


def read_whole(sock, wanted):
	while wanted > 0:
		piece = sock.recv(wanted)
		if not piece:
			return
		wanted -= len(piece)


def listening(family):
	listener = socket.socket(family, socket.SOCK_STREAM)
	listener.bind((LOOPBACK[family], 0))
	listener.listen(4)
	return listener, listener.getsockname()[1]


def tcp(family, ending):
	"""A child of the listener accepts, this process connects. `ending`: who ends it, and how."""
	listener, port = listening(family)

	def serve():
		taken, _ = listener.accept()
		read_whole(taken, SENT)
		taken.sendall(b"y" * RECEIVED)
		if ending != "server":
			taken.recv(1)
		taken.close()

	worker = in_child(serve)
	client = socket.socket(family, socket.SOCK_STREAM)
	if ending == "nonblocking":
		client.setblocking(False)
		client.connect_ex((LOOPBACK[family], port))
		client.setblocking(True)
	else:
		client.connect((LOOPBACK[family], port))
	lport = client.getsockname()[1]
	client.sendall(b"x" * SENT)
	read_whole(client, RECEIVED)
	if ending == "server":
		client.recv(1)
	elif ending == "shutdown":
		client.shutdown(socket.SHUT_WR)
		client.recv(1)
	elif ending == "reset":
		client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
	if ending == "handed":
		# The child keeps the last descriptor: the end is still told of who connected.
		heir = in_child(lambda: (time.sleep(0.2), client.close()))
		client.close()
		os.waitpid(heir, 0)
	client.close()
	os.waitpid(worker, 0)
	tell(client=os.getpid(), worker=worker, lport=lport, rport=port)


def refused():
	listener, port = listening(socket.AF_INET)
	listener.close()
	for _ in range(2):
		client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
		client.connect_ex(("127.0.0.1", port))
		client.connect_ex(("127.0.0.1", port))
	tell(actor=os.getpid(), port=port)


def late_accept():
	"""The connection is reset before anybody accepts it."""
	listener, port = listening(socket.AF_INET)
	client = socket.create_connection(("127.0.0.1", port))
	lport = client.getsockname()[1]
	client.sendall(b"x" * 100)
	client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
	client.close()
	taken, _ = listener.accept()
	taken.close()
	tell(server=os.getpid(), lport=lport, rport=port)


HANGING = 9000
NOBODY = 65534


def hang():
	"""One user keeps thousands of connects waiting; meanwhile it and another one connect as usual."""
	resource.setrlimit(resource.RLIMIT_NOFILE, (HANGING + 100, HANGING + 100))
	full, full_port = listening(socket.AF_INET)
	full.listen(0)
	_listener, port = listening(socket.AF_INET)
	gone, closed = listening(socket.AF_INET)
	gone.close()
	wait, go = os.pipe()

	def connect():
		client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
		client.connect(("127.0.0.1", port))
		client.sendall(b"x" * SENT)
		client.close()

	def connect_later():
		client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
		client.setblocking(False)
		client.connect_ex(("127.0.0.1", port))

	other = in_child(lambda: (os.read(wait, 1), connect()))
	os.setresuid(NOBODY, NOBODY, NOBODY)
	waiting = []
	for i in range(HANGING):
		if i % 250 == 0:
			# Storms have a test of their own: here the reader shall keep up, also on a busy machine.
			time.sleep(0.02)
		waiting.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
		waiting[-1].setblocking(False)
		waiting[-1].connect_ex(("127.0.0.1", full_port))
	pids = {"same": in_child(connect)}
	pids["later"] = in_child(connect_later)
	pids["refused"] = in_child(lambda: socket.socket().connect_ex(("127.0.0.1", closed)))
	os.write(go, b"x")
	for pid in (other, *pids.values()):
		os.waitpid(pid, 0)
	tell(actor=os.getpid(), other=other, port=port, closed=closed, full=full_port, hanging=HANGING, **pids)


class Vector(ctypes.Structure):
	_fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Message(ctypes.Structure):
	_fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32), ("vectors", ctypes.c_void_p),
		("vector_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
		("flags", ctypes.c_int), ("sent", ctypes.c_uint32), ("rest", ctypes.c_uint32)]


def recvmmsg(sock, count):
	"""Takes `count` messages with one call."""
	room = [ctypes.create_string_buffer(2048) for _ in range(count)]
	vectors = [Vector(ctypes.addressof(one), 2048) for one in room]
	names = [ctypes.create_string_buffer(16) for _ in range(count)]
	rows = (Message * count)()
	for row, vector, name in zip(rows, vectors, names):
		row.name, row.name_length = ctypes.addressof(name), 16
		row.vectors, row.vector_count = ctypes.addressof(vector), 1
	assert LIBC.recvmmsg(sock.fileno(), rows, count, 0, None) == count


def sendmmsg(sock, ports):
	payload = ctypes.create_string_buffer(b"many")
	vector = Vector(ctypes.addressof(payload), 4)
	rows = (Message * len(ports))()
	names = [ctypes.create_string_buffer(struct.pack("=H", 2) + struct.pack("!H", port) +
		socket.inet_aton("127.0.0.1") + bytes(8), 16) for port in ports]
	for row, name in zip(rows, names):
		row.name, row.name_length = ctypes.addressof(name), 16
		row.vectors, row.vector_count = ctypes.addressof(vector), 1
	assert LIBC.sendmmsg(sock.fileno(), rows, len(ports), 0) == len(ports)


def udp():
	sinks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(6)]
	for sink in sinks:
		sink.bind(("127.0.0.1", 0))
	ports = [sink.getsockname()[1] for sink in sinks]
	connected = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	connected.connect(("127.0.0.1", ports[0]))
	connected.send(b"told by its connect")
	free = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	for _ in range(2000):
		free.sendto(b"burst", ("127.0.0.1", ports[1]))
	free.sendmsg([b"in", b"pieces"], [], 0, ("127.0.0.1", ports[2]))
	sendmmsg(free, [ports[3], ports[4]])
	six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
	six.sendto(b"six", ("::1", ports[5]))
	six.sendto(b"mapped", ("::ffff:127.0.0.1", ports[5]))
	again = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	again.sendto(b"another socket", ("127.0.0.1", ports[1]))
	raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
	raw.sendto(bytes([8, 0, 0xf7, 0xff, 0, 0, 0, 0]), ("127.0.0.1", 0))
	tell(actor=os.getpid(), connected=ports[0], burst=ports[1], pieces=ports[2], many=ports[3],
		more=ports[4], six=ports[5], lport=free.getsockname()[1])


def unix(directory):
	path = directory + "/stream"
	stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
	stream.bind(path)
	stream.listen(2)
	client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
	client.connect(path)
	stream.accept()
	hidden = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
	hidden.bind(b"\0hid\0den-" + str(os.getpid()).encode())
	hidden.listen(2)
	other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
	other.connect(b"\0hid\0den-" + str(os.getpid()).encode())
	datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	datagrams.bind(directory + "/datagrams")
	socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect(directory + "/datagrams")
	socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect_ex(directory + "/nobody")
	tell(actor=os.getpid())


def made():
	listener, port = listening(socket.AF_INET)
	packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
	tell(actor=os.getpid(), port=port, fd=listener.fileno(), packets=packets.fileno(),
		netns=os.stat("/proc/self/ns/net").st_ino)


def question(name, ident=0x1234):
	labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
	return struct.pack("!6H", ident, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


def answer_to(query):
	end = query.index(b"\0", 12) + 5
	kind = struct.unpack("!H", query[end - 4:end - 2])[0]
	head = query[:2] + struct.pack("!5H", 0x8180, 1, 1 if kind == 1 else 0, 0, 0) + query[12:end]
	record = b"\xc0\x0c" + struct.pack("!2HIH", 1, 1, 60, 4) + b"\x0a\x09\x08\x07"
	return head + (record if kind == 1 else b"")


def serve_dns(server):
	while True:
		query, sender = server.recvfrom(2048)
		server.sendto(answer_to(query), sender)


def resolver():
	"""Plays a DNS server in a namespace of its own, and asks it in every way programs do."""
	socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect_ex(("192.0.2.1", 80))
	subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
	server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
	server.bind(("127.0.0.1", 53))
	threading.Thread(target=serve_dns, args=(server,), daemon=True).start()

	def make(connect):
		sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		if connect:
			sock.connect(("127.0.0.1", 53))
		return sock

	def by_sendto():
		sock = make(False)
		sock.sendto(question("sendto.example"), ("127.0.0.1", 53))
		sock.recvfrom(2048)

	def by_recv():
		sock = make(False)
		sock.sendto(question("recv.example"), ("127.0.0.1", 53))
		sock.recv(2048, socket.MSG_PEEK)
		sock.recv(2048)

	def by_write():
		sock = make(True)
		os.write(sock.fileno(), question("write.example"))
		os.read(sock.fileno(), 2048)

	def by_writev():
		sock = make(True)
		whole = question("writev.example")
		os.writev(sock.fileno(), [whole[:12], whole[12:]])
		os.readv(sock.fileno(), [bytearray(12), bytearray(2000)])

	def by_pwritev2():
		sock = make(True)
		whole = question("pwritev2.example")
		# At -1 is at the socket's own position: what pwritev2 and preadv2 have over pwritev and preadv.
		os.pwritev(sock.fileno(), [whole[:12], whole[12:]], -1)
		os.preadv(sock.fileno(), [bytearray(12), bytearray(2000)], -1)

	def by_sendmsg():
		sock = make(False)
		whole = question("sendmsg.example")
		sock.sendmsg([whole[:5], whole[5:20], whole[20:]], [], 0, ("127.0.0.1", 53))
		sock.recvmsg(2048)

	def by_recvmmsg():
		sock = make(False)
		for name in ("recvmmsg.example", "recvmmsg.example"):
			sock.sendto(question(name), ("127.0.0.1", 53))
		recvmmsg(sock, 2)

	def by_ports():
		sock = make(False)
		for port in (5353, 5355, 5354, 5354):
			sock.sendto(question(f"port{port}.example"), ("127.0.0.1", port))

	def by_library():
		socket.getaddrinfo("library.example", 80)

	def by_long():
		sock = make(False)
		sock.sendto(question("long.example") + b"z" * 3000, ("127.0.0.1", 53))

	pids = {"actor": os.getpid()}
	for way in (by_sendto, by_recv, by_write, by_writev, by_pwritev2, by_sendmsg, by_recvmmsg, by_library, by_ports, by_long):
		pids[way.__name__[3:]] = in_child(way)
		os.waitpid(pids[way.__name__[3:]], 0)
	tell(netns=os.stat("/proc/self/ns/net").st_ino, **pids)


def main():
	what, *rest = sys.argv[1:]
	families = {"4": socket.AF_INET, "6": socket.AF_INET6}
	if what == "tcp":
		tcp(families[rest[0]], rest[1])
	else:
		acts = {"late": late_accept, "refused": refused, "udp": udp, "unix": unix, "made": made, "hang": hang,
			"resolver": resolver}
		acts[what](*rest)


main()
