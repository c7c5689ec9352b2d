import { equal } from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { WasmSha256 } from "./wasm-sha256.ts";

interface Platform {
	readonly Module: new (bytes: Uint8Array) => object;
	readonly Instance: new (
		module: object,
	) => { readonly exports: { readonly memory: { readonly buffer: ArrayBuffer } } };
}
/** Node's types leave it out. */
const { Module, Instance } = (globalThis as unknown as { WebAssembly: Platform }).WebAssembly;
const file = readFileSync(new URL("./sha256.wasm", import.meta.url));
const instantiate = () => new Instance(new Module(file)).exports;
const hash = new WasmSha256(instantiate());
const expected = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test("the examples of FIPS 180-4 hold", () => {
	equal(hex(hash.digest([Buffer.from("abc")])), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	equal(hex(hash.digest([])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
});

test("every length around the edges of blocks and of its memory gives what the platform gives", () => {
	const lengths = Array.from({ length: 260 }, (_, length) => length);
	for (const edge of [4096, 65_408, 65_472, 65_536, 130_816, 1_500_000])
		for (let off = -2; off <= 2; off++) lengths.push(edge + off);
	for (const length of lengths) {
		const bytes = randomBytes(length);
		equal(hex(hash.digest([bytes])), expected(bytes), `${length} bytes`);
	}
});

test("parts count as their concatenation, whatever their sizes", () => {
	for (let round = 0; round < 50; round++) {
		const whole = randomBytes(Math.floor(Math.random() * 200_000));
		const parts: Uint8Array[] = [];
		for (let at = 0; at < whole.length; ) {
			const size = Math.floor(Math.random() * 70_000);
			parts.push(whole.subarray(at, at + size));
			at += size;
		}
		equal(hex(hash.digest(parts)), expected(whole));
	}
});

test("nothing of what was hashed stays in its memory", () => {
	const exports = instantiate();
	const own = new WasmSha256(exports);
	for (const length of [10, 1000, 65_408, 65_409, 100_000]) {
		own.digest([new Uint8Array(length).fill(0xaa)]);
		const memory = Buffer.from(exports.memory.buffer).subarray(64);
		equal(memory.indexOf(Buffer.from("aaaa", "hex")), -1, `${length} bytes`);
		equal(memory.indexOf(0x80), -1);
	}
});
