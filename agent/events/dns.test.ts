import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes, utf8 } from "#core/bytes/bytes.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { type DnsMessage, decodeDnsMessage } from "./dns.ts";

const u16 = (value: number) => Uint8Array.of(value >> 8, value & 0xff);
const label = (text: string) => concatBytes(Uint8Array.of(text.length), utf8(text));
const name = (text: string) => concatBytes(...text.split(".").map(label), Uint8Array.of(0));
const pointer = (at: number) => u16(0xc000 | at);

interface Counts {
	readonly flags?: number;
	readonly questions?: number;
	readonly answers?: number;
	readonly additional?: number;
}

function message(counts: Counts, ...parts: Uint8Array[]): Uint8Array {
	const { flags = 0x0100, questions = 1, answers = 0, additional = 0 } = counts;
	return concatBytes(u16(7), u16(flags), u16(questions), u16(answers), u16(0), u16(additional), ...parts);
}

const question = (text: string, type = 1) => concatBytes(name(text), u16(type), u16(1));
const record = (owner: Uint8Array, type: number, data: Uint8Array, recordClass = 1) =>
	concatBytes(owner, u16(type), u16(recordClass), new Uint8Array(4), u16(data.length), data);

const ANSWER = 0x8180;

function read(bytes: Uint8Array): DnsMessage {
	const decoded = decodeDnsMessage(bytes);
	assert.ok(decoded.ok, decoded.ok ? "" : decoded.detail);
	return decoded.value;
}

function codeOf(bytes: Uint8Array): string {
	const decoded = decodeDnsMessage(bytes);
	return decoded.ok ? "read" : decoded.code;
}

test("a query has a name and a type, and no response code", () => {
	const expected = { name: "www.Example.com", type: 28, responseCode: null, answers: [], answersCause: null };
	assert.deepEqual(read(message({}, question("www.Example.com", 28))), expected);
});

test("an answer tells names and addresses in their order and passes other types over", () => {
	const mx = concatBytes(u16(10), label("mail"), pointer(12));
	const srv = concatBytes(u16(1), u16(2), u16(443), name("s.net"));
	const bytes = message(
		{ flags: ANSWER, answers: 8 },
		question("example.com"),
		record(pointer(12), 5, concatBytes(label("edge"), pointer(12))),
		record(pointer(12), 1, Uint8Array.of(192, 0, 2, 7)),
		record(pointer(12), 16, utf8("\x05token")),
		record(pointer(12), 28, concatBytes(Uint8Array.of(0x20, 1, 0xd, 0xb8), new Uint8Array(11), Uint8Array.of(1))),
		record(pointer(12), 15, mx),
		record(pointer(12), 33, srv),
		record(pointer(12), 1, Uint8Array.of(9, 9, 9, 9), 3),
		record(pointer(12), 1, Uint8Array.of(10, 0, 0, 1), 0x8001),
	);
	const { answers, answersCause, responseCode } = read(bytes);
	assert.deepEqual(answers, ["edge.example.com", "192.0.2.7", "2001:db8::1", "mail.example.com", "s.net", "10.0.0.1"]);
	assert.deepEqual([answersCause, responseCode], [null, 0]);
});

test("names compressed as in RFC 1035 §4.1.4 read whole", () => {
	// F.ISI.ARPA at 20, FOO and a pointer to it at 40, a pointer to ARPA at 64, the root at 92.
	const bytes = new Uint8Array(120);
	bytes.set([0, 7, 0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 0]);
	const body = concatBytes(
		question("F.ISI.ARPA"),
		record(pointer(12), 2, concatBytes(label("FOO"), pointer(12))),
		record(pointer(12), 2, pointer(18)),
		record(pointer(12), 2, Uint8Array.of(0)),
	);
	bytes.set(body, 12);
	assert.deepEqual(read(bytes.subarray(0, 12 + body.length)).answers, ["FOO.F.ISI.ARPA", "ARPA", "."]);
});

test("what a label must not look like is escaped", () => {
	const odd = concatBytes(Uint8Array.of(6, 0x2e, 0x5c, 0x20, 0xff, 0x1b, 0x61), label("com"), Uint8Array.of(0));
	const bytes = message({}, odd, u16(1), u16(1));
	assert.equal(read(bytes).name, "\\.\\\\\\032\\255\\027a.com");
});

test("the response code has the upper bits that EDNS gives it", () => {
	const opt = concatBytes(Uint8Array.of(0), u16(41), u16(1232), Uint8Array.of(1, 0, 0, 0), u16(0));
	const bytes = message({ flags: 0x8183, additional: 1 }, question("a.b"), opt);
	assert.equal(read(bytes).responseCode, 0x13);
	assert.equal(read(message({ flags: 0x8183 }, question("a.b"))).responseCode, 3);
});

test("the first of several questions counts, and the answers behind them are found", () => {
	const bytes = message(
		{ flags: ANSWER, questions: 2, answers: 1 },
		question("one.org"),
		question("two.org"),
		record(pointer(12), 1, Uint8Array.of(1, 2, 3, 4)),
	);
	assert.deepEqual([read(bytes).name, read(bytes).answers], ["one.org", ["1.2.3.4"]]);
});

test("hostile names are refused by their code", () => {
	const with_ = (...parts: Uint8Array[]) => message({}, ...parts, new Uint8Array(4));
	assert.equal(codeOf(new Uint8Array(11)), "dns_short");
	assert.equal(codeOf(message({ questions: 0 })), "dns_no_question");
	assert.equal(codeOf(with_(pointer(12))), "dns_pointer");
	assert.equal(codeOf(with_(pointer(14))), "dns_pointer");
	assert.equal(codeOf(with_(pointer(2))), "dns_pointer");
	assert.equal(codeOf(with_(label("a"), pointer(12))), "dns_pointer");
	assert.equal(codeOf(with_(Uint8Array.of(0x40, 1))), "dns_label_type");
	assert.equal(codeOf(message({}, Uint8Array.of(63))), "dns_overrun");
	assert.equal(codeOf(message({}, label("a"), Uint8Array.of(0, 0, 1))), "dns_overrun");
	assert.equal(codeOf(message({}, Uint8Array.of(0xc0))), "dns_overrun");
});

test("a name has 255 bytes and not one more", () => {
	const long = (last: number) => {
		const labels = Array.from({ length: 3 }, () => label("x".repeat(63)));
		return message({}, concatBytes(...labels, label("y".repeat(last)), Uint8Array.of(0)), new Uint8Array(4));
	};
	assert.equal(read(long(61)).name.length, 253);
	assert.equal(codeOf(long(62)), "dns_name_long");
});

test("a pointer chain that is too long is refused although it leads backwards", () => {
	const chain = (pointers: number) => {
		const data = concatBytes(
			...Array.from({ length: pointers }, (_, i) => pointer(i === 0 ? 12 : 12 + 5 + 11 + 2 * (i - 1))),
		);
		const records = record(Uint8Array.of(0), 16, data);
		const last = 12 + 5 + 11 + 2 * (pointers - 1);
		return message(
			{ flags: ANSWER, answers: 2 },
			Uint8Array.of(0),
			u16(1),
			u16(1),
			records,
			record(Uint8Array.of(0), 5, pointer(last)),
		);
	};
	// Pointers in the data of a record that is passed over: each leads to the one before it.
	assert.equal(read(chain(200)).answersCause, "dns_pointer");
});

test("a message cut anywhere tells its question or refuses, and says that answers are missing", () => {
	const bytes = message(
		{ flags: ANSWER, answers: 2 },
		question("example.com"),
		record(pointer(12), 1, Uint8Array.of(1, 2, 3, 4)),
		record(pointer(12), 5, concatBytes(label("edge"), pointer(12))),
	);
	const questionEnd = 12 + question("example.com").length;
	for (let end = 0; end < bytes.length; end++) {
		const decoded = decodeDnsMessage(bytes.slice(0, end));
		assert.equal(decoded.ok, end >= questionEnd, `cut at ${end}`);
		if (decoded.ok) assert.equal(decoded.value.answersCause, "dns_overrun", `cut at ${end}`);
	}
	assert.equal(read(bytes).answersCause, null);
});

test("answers that break a rule are named and the good ones stay", () => {
	const answers = (...records: Uint8Array[]) =>
		read(message({ flags: ANSWER, answers: records.length }, question("a.b"), ...records));
	const good = record(pointer(12), 1, Uint8Array.of(1, 2, 3, 4));
	const short = answers(record(pointer(12), 1, Uint8Array.of(1, 2, 3)), good);
	assert.deepEqual([short.answersCause, short.answers], ["dns_record", ["1.2.3.4"]]);
	const leaving = answers(record(pointer(12), 5, label("a")), good);
	assert.equal(leaving.answersCause, "dns_record");
	const cut = read(message({ flags: ANSWER | 0x0200, answers: 1 }, question("a.b"), good));
	assert.deepEqual([cut.answersCause, cut.answers], ["dns_truncated", ["1.2.3.4"]]);
});

test("as many answers as an event holds are told, and one more is named", () => {
	const answers = (count: number) => {
		const good = record(pointer(12), 1, Uint8Array.of(1, 2, 3, 4));
		return read(
			message({ flags: ANSWER, answers: count }, question("a.b"), ...Array.from({ length: count }, () => good)),
		);
	};
	const { dnsAnswersMax } = MODEL_LIMITS;
	assert.deepEqual([answers(dnsAnswersMax).answers.length, answers(dnsAnswersMax).answersCause], [dnsAnswersMax, null]);
	assert.deepEqual(
		[answers(dnsAnswersMax + 1).answers.length, answers(dnsAnswersMax + 1).answersCause],
		[dnsAnswersMax, "dns_answers_many"],
	);
});
