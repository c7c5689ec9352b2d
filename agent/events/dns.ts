/**
 * DNS messages as a process sent or received them (RFC 1035 §4): the first question, the response code, and the names and
 * addresses of the answers. The bytes come from anyone on the network. Guarantees: bounded work on any bytes, no read beyond
 * them, every text printable ASCII (RFC 4343 §2.1 escapes). A message whose answers do not read still tells its question. Names
 * keep the case they were sent in. Must never resolve anything.
 */

import { MODEL_LIMITS } from "#core/model/limits.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { addressText } from "#core/stitch/address.ts";

export type DnsCode =
	| "dns_short"
	| "dns_no_question"
	/** A name, question or record ends beyond the message. */
	| "dns_overrun"
	/** More than 255 bytes (RFC 1035 §2.3.4). */
	| "dns_name_long"
	/** A label type that RFC 1035 reserves. */
	| "dns_label_type"
	/** A compression pointer that does not lead strictly backwards, or one too many. */
	| "dns_pointer"
	/** An address record of the wrong length, or a name that leaves its record. */
	| "dns_record";

/** Why the answers are not all there although the question is. */
export type DnsAnswersCode = DnsCode | "dns_truncated" | "dns_answers_many";

export interface DnsMessage {
	/** Without a final dot; the root is `.`. Dots and backslashes inside a label are escaped, other bytes as `\DDD`. */
	readonly name: string;
	readonly type: number;
	/** Null in a query. With the upper bits of EDNS (RFC 6891 §6.1.3) where they can be read. */
	readonly responseCode: number | null;
	/** Text of A, AAAA, CNAME, NS, PTR, MX, SRV and DNAME answers in their order; other types are passed over. */
	readonly answers: readonly string[];
	readonly answersCause: DnsAnswersCode | null;
}

const HEADER_BYTES = 12;
const NAME_BYTES_MAX = 255;
/** Pointers of one name: a name of 127 labels needs no more than that, real ones need three. */
const POINTERS_MAX = 32;
const TYPE_OPT = 41;
const ADDRESS_BYTES: ReadonlyMap<number, number> = new Map([
	[1, 4],
	[28, 16],
]);
/** Types whose data end in a name, and the bytes before it: NS, CNAME, PTR, MX, SRV, DNAME. */
const NAME_OFFSETS: ReadonlyMap<number, number> = new Map([
	[2, 0],
	[5, 0],
	[12, 0],
	[15, 2],
	[33, 6],
	[39, 0],
]);

function u16(bytes: Uint8Array, at: number): number {
	return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function labelText(label: Uint8Array): string {
	let text = "";
	for (const byte of label) {
		if (byte === 0x2e || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`;
		else if (byte > 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
		else text += `\\${String(byte).padStart(3, "0")}`;
	}
	return text;
}

interface Name {
	readonly text: string;
	/** Where reading goes on: behind the first pointer, or behind the root label. */
	readonly next: number;
}

/** Each pointer leads before the run of labels it ends, so the walk ends; the name's length ends it sooner. */
function readName(bytes: Uint8Array, start: number): Result<Name, DnsCode> {
	const labels: string[] = [];
	let at = start;
	let runStart = start;
	let next: number | null = null;
	let wireBytes = 1;
	for (let pointers = 0; ; ) {
		const head = bytes[at];
		if (head === undefined) return fail("dns_overrun", `a name at ${start} runs beyond the message`);
		if (head === 0) return ok({ text: labels.length === 0 ? "." : labels.join("."), next: next ?? at + 1 });
		if (head >= 0xc0) {
			if (at + 1 >= bytes.length) return fail("dns_overrun", `a pointer at ${at} is cut`);
			const target = u16(bytes, at) & 0x3fff;
			if (target >= runStart || target < HEADER_BYTES || ++pointers > POINTERS_MAX)
				return fail("dns_pointer", `the pointer at ${at} leads to ${target}`);
			next ??= at + 2;
			at = target;
			runStart = target;
			continue;
		}
		if (head >= 0x40) return fail("dns_label_type", `label type ${head >> 6} at ${at}`);
		wireBytes += head + 1;
		if (wireBytes > NAME_BYTES_MAX) return fail("dns_name_long", `a name at ${start} has more than 255 bytes`);
		if (at + 1 + head > bytes.length) return fail("dns_overrun", `a label at ${at} runs beyond the message`);
		labels.push(labelText(bytes.subarray(at + 1, at + 1 + head)));
		at += 1 + head;
	}
}

/** Where the record behind a name goes on, without reading the name: null beyond the message. */
function skipName(bytes: Uint8Array, start: number): number | null {
	for (let at = start; ; ) {
		const head = bytes[at];
		if (head === undefined) return null;
		if (head === 0) return at + 1;
		if (head >= 0xc0) return at + 2;
		if (head >= 0x40) return null;
		at += 1 + head;
	}
}

interface ResourceRecord {
	readonly type: number;
	readonly isInternet: boolean;
	/** Where the TTL stands; an OPT record keeps the upper bits of the response code there. */
	readonly ttlAt: number;
	readonly dataAt: number;
	readonly end: number;
}

function readRecord(bytes: Uint8Array, start: number): ResourceRecord | null {
	const at = skipName(bytes, start);
	if (at === null || at + 10 > bytes.length) return null;
	const dataAt = at + 10;
	const end = dataAt + u16(bytes, at + 8);
	if (end > bytes.length) return null;
	// The top bit of the class is mDNS's cache-flush (RFC 6762 §10.2).
	return { type: u16(bytes, at), isInternet: (u16(bytes, at + 2) & 0x7fff) === 1, ttlAt: at + 4, dataAt, end };
}

/** The record's name or address; null for a type that is passed over. */
function answerText(bytes: Uint8Array, record: ResourceRecord): Result<string | null, DnsCode> {
	const { type, dataAt, end } = record;
	const width = ADDRESS_BYTES.get(type);
	if (width !== undefined) {
		if (end - dataAt !== width) return fail("dns_record", `an address of ${end - dataAt} bytes`);
		return ok(addressText(bytes.subarray(dataAt, end)));
	}
	const offset = NAME_OFFSETS.get(type);
	if (offset === undefined) return ok(null);
	const name = readName(bytes, dataAt + offset);
	if (!name.ok) return name;
	return name.value.next > end ? fail("dns_record", "a name leaves its record") : ok(name.value.text);
}

interface Answers {
	readonly answers: string[];
	readonly answersCause: DnsAnswersCode | null;
	/** Upper bits of the response code, shifted. */
	readonly extended: number;
}

function readAnswers(bytes: Uint8Array, start: number): Answers {
	const answerCount = u16(bytes, 6);
	const recordCount = answerCount + u16(bytes, 8) + u16(bytes, 10);
	const answers: string[] = [];
	let cause: DnsAnswersCode | null = (u16(bytes, 2) & 0x0200) === 0 ? null : "dns_truncated";
	let extended = 0;
	let at = start;
	// Each record takes eleven bytes or more, so their number is bounded by the message whatever the counts claim.
	for (let i = 0; i < recordCount; i++) {
		const record = readRecord(bytes, at);
		if (record === null) {
			if (i < answerCount) cause ??= "dns_overrun";
			break;
		}
		at = record.end;
		if (i < answerCount && record.isInternet) {
			const text = answerText(bytes, record);
			if (!text.ok) cause ??= text.code;
			else if (text.value !== null && answers.length < MODEL_LIMITS.dnsAnswersMax) answers.push(text.value);
			else if (text.value !== null) cause ??= "dns_answers_many";
		} else if (i >= answerCount && record.type === TYPE_OPT) extended = (bytes[record.ttlAt] as number) << 4;
	}
	return { answers, answersCause: cause, extended };
}

/** Reads one message, from the header on. Refused only when its first question does not read. */
export function decodeDnsMessage(bytes: Uint8Array): Result<DnsMessage, DnsCode> {
	if (bytes.length < HEADER_BYTES) return fail("dns_short", `${bytes.length} bytes, a header has ${HEADER_BYTES}`);
	const questionCount = u16(bytes, 4);
	if (questionCount === 0) return fail("dns_no_question", "a message without a question");
	const name = readName(bytes, HEADER_BYTES);
	if (!name.ok) return name;
	let at = name.value.next;
	if (at + 4 > bytes.length) return fail("dns_overrun", "the question is cut");
	const question = { name: name.value.text, type: u16(bytes, at) };
	const flags = u16(bytes, 2);
	if ((flags & 0x8000) === 0) return ok({ ...question, responseCode: null, answers: [], answersCause: null });
	at += 4;
	for (let i = 1; i < questionCount; i++) {
		const next = skipName(bytes, at);
		if (next === null || next + 4 > bytes.length)
			return ok({ ...question, responseCode: flags & 0xf, answers: [], answersCause: "dns_overrun" });
		at = next + 4;
	}
	const { extended, ...read } = readAnswers(bytes, at);
	return ok({ ...question, responseCode: (flags & 0xf) | extended, ...read });
}
