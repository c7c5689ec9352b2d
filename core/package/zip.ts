/**
 * The canonical ZIP of a forensic package (APPNOTE 6.3.10, its oldest subset): stored, names sorted, times fixed,
 * no extra field, no comment, no ZIP64. Guarantees that equal entries give equal bytes, and that a reader accepts
 * exactly what the writer writes: each archive that opens is rebuilt and compared, so no byte of it is free to
 * differ. Must never unpack to a disk, guess, skip or repair.
 */
import { equalBytes, lossyTextOf, utf8 } from "#core/bytes/bytes.ts";
import { assertInvariant, type Failure, fail, ok, type Result } from "#core/result.ts";
import { crc32 } from "./crc32.ts";
import {
	CENTRAL_RECORD_BYTES,
	checkEntries,
	checkNames,
	END_RECORD_BYTES,
	type EntryCode,
	LOCAL_HEADER_BYTES,
} from "./entries.ts";
import { ZIP_LIMITS, type ZipLimits } from "./limits.ts";

const LOCAL_SIGNATURE = 0x04034b50;
const CENTRAL_SIGNATURE = 0x02014b50;
const END_SIGNATURE = 0x06054b50;
/** A stored file needs version 1.0. */
const VERSION_NEEDED = 10;
/** 1980-01-01 00:00, the first moment ZIP can name. */
const DOS_TIME = 0;
const DOS_DATE = 0x0021;
const STORED = 0;
const COMMENT_BYTES_MAX = 0xffff;
/** The value that sends a reader to a ZIP64 record, in 16 and in 32 bits. */
const ZIP64_MARK_16 = 0xffff;
const ZIP64_MARK_32 = 0xffffffff;

export type ZipCode =
	| EntryCode
	/** A record or the data of an entry ends behind the archive, or no end record is there. */
	| "truncated"
	/** Bytes follow the end record. */
	| "trailing_bytes"
	/** A ZIP64 mark, or more than one disk. */
	| "zip64_or_multi_disk"
	/** An entry is compressed or encrypted. */
	| "not_stored"
	/** The header before the data disagrees with the central directory. */
	| "local_header_differs"
	/** Two entries share bytes, or an entry and the directory do. */
	| "overlap"
	/** The data is not what the checksum was made of. */
	| "bad_crc"
	/** Bytes lie between entries, directory and end record that none of them names: a place to hide something. */
	| "unclaimed_bytes"
	/** A well-formed ZIP that our writer would have written otherwise. */
	| "not_canonical";

interface Entry {
	readonly name: string;
	readonly data: Uint8Array;
	readonly crc: number;
	/** Where the local header starts. */
	readonly offset: number;
}

/** From "version needed" to "extra field length": the 26 bytes that local header and central record share. */
function writeShared(view: DataView, at: number, entry: Entry): void {
	view.setUint16(at, VERSION_NEEDED, true);
	view.setUint16(at + 2, 0, true);
	view.setUint16(at + 4, STORED, true);
	view.setUint16(at + 6, DOS_TIME, true);
	view.setUint16(at + 8, DOS_DATE, true);
	view.setUint32(at + 10, entry.crc, true);
	view.setUint32(at + 14, entry.data.length, true);
	view.setUint32(at + 18, entry.data.length, true);
	view.setUint16(at + 22, entry.name.length, true);
	view.setUint16(at + 24, 0, true);
}

function localHeader(entry: Entry): Uint8Array {
	const out = new Uint8Array(LOCAL_HEADER_BYTES + entry.name.length);
	const view = new DataView(out.buffer);
	view.setUint32(0, LOCAL_SIGNATURE, true);
	writeShared(view, 4, entry);
	out.set(utf8(entry.name), LOCAL_HEADER_BYTES);
	return out;
}

function centralRecord(entry: Entry): Uint8Array {
	const out = new Uint8Array(CENTRAL_RECORD_BYTES + entry.name.length);
	const view = new DataView(out.buffer);
	view.setUint32(0, CENTRAL_SIGNATURE, true);
	view.setUint16(4, VERSION_NEEDED, true);
	writeShared(view, 6, entry);
	// Comment length, disk number, internal and external attributes stay zero.
	view.setUint32(42, entry.offset, true);
	out.set(utf8(entry.name), CENTRAL_RECORD_BYTES);
	return out;
}

function endRecord(entries: number, directoryBytes: number, directoryOffset: number): Uint8Array {
	const out = new Uint8Array(END_RECORD_BYTES);
	const view = new DataView(out.buffer);
	view.setUint32(0, END_SIGNATURE, true);
	view.setUint16(8, entries, true);
	view.setUint16(10, entries, true);
	view.setUint32(12, directoryBytes, true);
	view.setUint32(16, directoryOffset, true);
	return out;
}

/** The archive of these entries, part by part. `data` is given by name; both writer and reader go by this. */
function* canonicalParts(files: ReadonlyMap<string, Uint8Array>): Generator<Uint8Array, void> {
	const directory: Uint8Array[] = [];
	let offset = 0;
	let directoryBytes = 0;
	for (const name of [...files.keys()].sort()) {
		const data = files.get(name) as Uint8Array;
		const entry: Entry = { name, data, crc: crc32(data), offset };
		const header = localHeader(entry);
		yield header;
		yield data;
		offset += header.length + data.length;
		const record = centralRecord(entry);
		directory.push(record);
		directoryBytes += record.length;
	}
	yield* directory;
	yield endRecord(files.size, directoryBytes, offset);
}

/**
 * The archive of these entries, in whatever order they come. Throws on entries that `checkEntries` refuses: who
 * takes them from elsewhere asks that first.
 */
export function writeZip(entries: ReadonlyMap<string, Uint8Array>): Uint8Array {
	const checked = checkEntries(entries, ZIP_LIMITS);
	assertInvariant(checked.ok, checked.ok ? "" : checked.detail);
	const parts = [...canonicalParts(entries)];
	const out = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
	let offset = 0;
	for (const part of parts) {
		out.set(part, offset);
		offset += part.length;
	}
	return out;
}

interface EndRecord {
	readonly entries: number;
	readonly directoryOffset: number;
}

function missingEnd(view: DataView): Failure<ZipCode> {
	const lowest = Math.max(0, view.byteLength - END_RECORD_BYTES - COMMENT_BYTES_MAX);
	for (let at = view.byteLength - END_RECORD_BYTES - 1; at >= lowest; at--) {
		if (view.getUint32(at, true) === END_SIGNATURE) {
			return fail("trailing_bytes", `${view.byteLength - END_RECORD_BYTES - at} bytes follow the end record.`);
		}
	}
	return fail("truncated", "No end record closes the archive.");
}

function readEnd(view: DataView, limits: ZipLimits): Result<EndRecord, ZipCode> {
	const at = view.byteLength - END_RECORD_BYTES;
	if (at < 0) return fail("truncated", "An archive has at least an end record.");
	if (view.getUint32(at, true) !== END_SIGNATURE) return missingEnd(view);
	const disks = view.getUint32(at + 4, true);
	const entriesHere = view.getUint16(at + 8, true);
	const entries = view.getUint16(at + 10, true);
	const directoryBytes = view.getUint32(at + 12, true);
	const directoryOffset = view.getUint32(at + 16, true);
	const hasMark = entries === ZIP64_MARK_16 || Math.max(directoryBytes, directoryOffset) === ZIP64_MARK_32;
	if (disks !== 0 || entriesHere !== entries || hasMark) {
		return fail("zip64_or_multi_disk", "The archive is ZIP64 or spans disks.");
	}
	if (entries > limits.entriesMax)
		return fail("too_many_entries", `A package has at most ${limits.entriesMax} entries.`);
	if (view.getUint16(at + 20, true) !== 0) return fail("truncated", "The comment ends behind the archive.");
	if (directoryOffset + directoryBytes > at) return fail("truncated", "The directory ends behind its place.");
	if (directoryOffset + directoryBytes < at) return fail("unclaimed_bytes", "Bytes stand between directory and end.");
	return ok({ entries, directoryOffset });
}

/** One record of the central directory, as it claims. */
interface Claim {
	readonly name: string;
	readonly crc: number;
	readonly dataBytes: number;
	readonly offset: number;
	/** Where the next record starts. */
	readonly end: number;
}

function readCentral(bytes: Uint8Array, view: DataView, at: number): Result<Claim, ZipCode> {
	const directoryEnd = bytes.length - END_RECORD_BYTES;
	if (at + CENTRAL_RECORD_BYTES > directoryEnd) return fail("truncated", "A directory record is cut off.");
	if (view.getUint32(at, true) !== CENTRAL_SIGNATURE) return fail("not_canonical", "A directory record is missing.");
	const dataBytes = view.getUint32(at + 24, true);
	const offset = view.getUint32(at + 42, true);
	if (Math.max(dataBytes, offset, view.getUint32(at + 20, true)) === ZIP64_MARK_32) {
		return fail("zip64_or_multi_disk", "An entry is of ZIP64.");
	}
	const isPlain = view.getUint16(at + 8, true) === 0 && view.getUint16(at + 10, true) === STORED;
	if (!isPlain || view.getUint32(at + 20, true) !== dataBytes) {
		return fail("not_stored", "An entry is compressed, encrypted or flagged.");
	}
	const nameEnd = at + CENTRAL_RECORD_BYTES + view.getUint16(at + 28, true);
	if (nameEnd > directoryEnd) return fail("truncated", "A name ends behind the directory.");
	if (view.getUint16(at + 30, true) !== 0 || view.getUint16(at + 32, true) !== 0) {
		return fail("not_canonical", "An entry has an extra field or a comment.");
	}
	const name = lossyTextOf(bytes.subarray(at + CENTRAL_RECORD_BYTES, nameEnd));
	return ok({ name, crc: view.getUint32(at + 16, true), dataBytes, offset, end: nameEnd });
}

function readDirectory(bytes: Uint8Array, limits: ZipLimits): Result<readonly [EndRecord, readonly Claim[]], ZipCode> {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const end = readEnd(view, limits);
	if (!end.ok) return end;
	const claims: Claim[] = [];
	let at = end.value.directoryOffset;
	for (let i = 0; i < end.value.entries; i++) {
		const claim = readCentral(bytes, view, at);
		if (!claim.ok) return claim;
		claims.push(claim.value);
		at = claim.value.end;
	}
	if (at !== bytes.length - END_RECORD_BYTES)
		return fail("not_canonical", "The directory holds more than its entries.");
	const names = checkNames(
		claims.map(({ name }) => name),
		limits,
	);
	return names.ok ? ok([end.value, claims]) : names;
}

/** The data of an entry whose local header must be the one that follows from its directory record. */
function readLocal(bytes: Uint8Array, claim: Claim): Result<Uint8Array, ZipCode> {
	const { name, crc, dataBytes, offset } = claim;
	const start = offset + LOCAL_HEADER_BYTES + name.length;
	const data = bytes.subarray(start, start + dataBytes);
	if (!equalBytes(localHeader({ name, crc, data, offset }), bytes.subarray(offset, start))) {
		return fail("local_header_differs", `The header before ${name} is not what the directory says.`);
	}
	if (crc32(data) !== crc) return fail("bad_crc", `The checksum of ${name} is wrong.`);
	return ok(data);
}

/**
 * The entries of a canonical archive, sorted by name. The data are views into `bytes`. Everything else is refused
 * by the first code that applies; a wrong record is named before a wrong checksum.
 */
export function readZip(bytes: Uint8Array, limits: ZipLimits = ZIP_LIMITS): Result<Map<string, Uint8Array>, ZipCode> {
	if (bytes.length > limits.archiveBytesMax) {
		return fail("too_large", `A package has at most ${limits.archiveBytesMax} bytes.`);
	}
	const directory = readDirectory(bytes, limits);
	if (!directory.ok) return directory;
	const [{ directoryOffset }, claims] = directory.value;
	const files = new Map<string, Uint8Array>();
	let dataEnd = 0;
	for (const claim of claims) {
		if (claim.offset < dataEnd) return fail("overlap", `${claim.name} begins within another entry.`);
		if (claim.offset > dataEnd) return fail("unclaimed_bytes", `Bytes that no entry names precede ${claim.name}.`);
		dataEnd = claim.offset + LOCAL_HEADER_BYTES + claim.name.length + claim.dataBytes;
		if (dataEnd > bytes.length) return fail("truncated", `${claim.name} ends behind the archive.`);
		if (dataEnd > directoryOffset) return fail("overlap", `${claim.name} reaches into the directory.`);
		const data = readLocal(bytes, claim);
		if (!data.ok) return data;
		files.set(claim.name, data.value);
	}
	if (dataEnd !== directoryOffset) return fail("unclaimed_bytes", "Bytes that no entry names precede the directory.");
	return isCanonical(files, bytes) ? ok(files) : fail("not_canonical", "The writer would have written other bytes.");
}

/** Rebuilds the archive part by part, so that a large one is not held twice. */
function isCanonical(files: ReadonlyMap<string, Uint8Array>, bytes: Uint8Array): boolean {
	let offset = 0;
	for (const part of canonicalParts(files)) {
		if (!equalBytes(part, bytes.subarray(offset, offset + part.length))) return false;
		offset += part.length;
	}
	return offset === bytes.length;
}
