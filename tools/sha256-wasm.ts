/**
 * Writes `core/crypto/sha256.wasm`: the compression function of SHA-256 (FIPS 180-4 §6.2.2) as a WebAssembly module, put together
 * here instruction by instruction so that nobody has to trust a binary from elsewhere. Guarantees the same bytes from the same
 * source: a test compares the file with what this makes. The module holds one page of memory and one function,
 * `compress(at, count)`: takes `count` blocks of 64 bytes that begin at `at` into the state of eight words at address 0.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** First 32 bits of the fractional parts of the cube roots of the first 64 primes (§4.2.2), computed, not copied. */
function roundConstants(): number[] {
	const primes: bigint[] = [];
	for (let n = 2n; primes.length < 64; n++) if (primes.every((prime) => n % prime !== 0n)) primes.push(n);
	return primes.map((prime) => {
		// The integer cube root of prime · 2^96 is the root with 32 binary places.
		const target = prime << 96n;
		let root = 0n;
		for (let bit = 1n << 36n; bit > 0n; bit >>= 1n) if ((root | bit) ** 3n <= target) root |= bit;
		return Number(BigInt.asIntN(32, root));
	});
}

/** LEB128. */
function unsigned(value: number): number[] {
	return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
	const low = value & 0x7f;
	const rest = value >> 7;
	const isLast = (rest === 0 && low < 0x40) || (rest === -1 && low >= 0x40);
	return isLast ? [low] : [low | 0x80, ...signed(rest)];
}

const section = (id: number, body: readonly number[]) => [id, ...unsigned(body.length), ...body];
const named = (name: string) => [name.length, ...Buffer.from(name, "latin1")];

const I32 = 0x7f;
/** An expression leaves one word on the stack. */
type Expression = readonly number[];
const get = (local: number): Expression => [0x20, ...unsigned(local)];
const set = (local: number, value: Expression): number[] => [...value, 0x21, ...unsigned(local)];
const constant = (value: number): Expression => [0x41, ...signed(value | 0)];
const operation =
	(code: number) =>
	(a: Expression, b: Expression): Expression => [...a, ...b, code];
const add = operation(0x6a);
const and = operation(0x71);
const or = operation(0x72);
const xor = operation(0x73);
const shiftRight = operation(0x76);
const rotateLeft = operation(0x77);
const rotateRight = operation(0x78);
const sum = (...terms: Expression[]): Expression => terms.reduce(add);
const load = (address: Expression, offset: number): Expression => [...address, 0x28, 2, ...unsigned(offset)];
const store = (address: Expression, offset: number, value: Expression): number[] => [
	...address,
	...value,
	0x36,
	2,
	...unsigned(offset),
];
const rotations = (word: Expression, [a, b, c]: readonly [number, number, number]): Expression =>
	xor(xor(rotateRight(word, constant(a)), rotateRight(word, constant(b))), rotateRight(word, constant(c)));
const spread = (word: Expression, [a, b, c]: readonly [number, number, number]): Expression =>
	xor(xor(rotateRight(word, constant(a)), rotateRight(word, constant(b))), shiftRight(word, constant(c)));
/** WebAssembly is little-endian, SHA-256 big-endian. */
const swapped = (word: Expression): Expression =>
	or(
		and(rotateLeft(word, constant(8)), constant(0x00ff00ff)),
		and(rotateRight(word, constant(8)), constant(0xff00ff00)),
	);

/** Locals: 0 address, 1 blocks left, 2–9 working variables, 10–25 the schedule's last sixteen words, 26 and 27 for one round. */
const AT = 0;
const LEFT = 1;
const STATE = 2;
const SCHEDULE = 10;
const [FIRST, SECOND] = [26, 27];
const LOCALS = 26;

function scheduleWord(round: number): number[] {
	const word = SCHEDULE + (round % 16);
	if (round < 16) {
		const loaded = set(word, load(get(AT), 4 * round));
		return [...loaded, ...set(word, swapped(get(word)))];
	}
	const before = (distance: number) => get(SCHEDULE + ((round - distance) % 16));
	return set(word, sum(before(16), spread(before(15), [7, 18, 3]), before(7), spread(before(2), [17, 19, 10])));
}

/** One round; the working variables change places by name instead of by copying. */
function round(index: number, k: number): number[] {
	const [a, b, c, d, e, f, g, h] = Array.from({ length: 8 }, (_, place) => STATE + ((place - index + 64) % 8)) as [
		...[number, number, number, number],
		...[number, number, number, number],
	];
	const choose = xor(get(g), and(get(e), xor(get(f), get(g))));
	const majority = or(and(get(a), get(b)), and(get(c), or(get(a), get(b))));
	const word = get(SCHEDULE + (index % 16));
	return [
		...scheduleWord(index),
		...set(FIRST, sum(get(h), rotations(get(e), [6, 11, 25]), choose, constant(k), word)),
		...set(SECOND, add(rotations(get(a), [2, 13, 22]), majority)),
		...set(d, add(get(d), get(FIRST))),
		...set(h, add(get(FIRST), get(SECOND))),
	];
}

function compressBody(): number[] {
	const words = [0, 1, 2, 3, 4, 5, 6, 7];
	const zero = constant(0);
	const block = [
		...words.flatMap((word) => set(STATE + word, load(zero, 4 * word))),
		...roundConstants().flatMap((k, index) => round(index, k)),
		...words.flatMap((word) => store(zero, 4 * word, add(load(zero, 4 * word), get(STATE + word)))),
		...set(AT, add(get(AT), constant(64))),
		// Again while blocks are left.
		...add(get(LEFT), constant(-1)),
		...[0x22, LEFT, 0x0d, 0],
	];
	// One group of locals; loop without a result; end of loop, end of function.
	return [1, LOCALS, I32, 0x03, 0x40, ...block, 0x0b, 0x0b];
}

/** The module's bytes. */
export function sha256Wasm(): Uint8Array {
	const body = compressBody();
	return Uint8Array.from([
		...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
		...section(1, [1, 0x60, 2, I32, I32, 0]),
		...section(3, [1, 0]),
		...section(5, [1, 1, 1, 1]),
		...section(7, [2, ...named("memory"), 2, 0, ...named("compress"), 0, 0]),
		...section(10, [1, ...unsigned(body.length), ...body]),
	]);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
	writeFileSync(new URL("../core/crypto/sha256.wasm", import.meta.url), sha256Wasm());
