import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bytesOfHex, utf8 } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "./dsse.ts";
import * as native from "./native.ts";
import * as noble from "./noble.ts";

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

test("both implementations hash, derive and sign to the same bytes and accept each other's signatures", () => {
	fc.assert(
		fc.property(bytes(32), fc.uint8Array({ maxLength: 300 }), (seed, message) => {
			assert.deepEqual(native.sha256(message, seed), noble.sha256(message, seed));
			const publicKey = native.ed25519PublicKey(seed);
			assert.deepEqual(noble.ed25519PublicKey(seed), publicKey);
			const signature = native.ed25519Sign(seed, message);
			assert.deepEqual(noble.ed25519Sign(seed, message), signature);
			for (const { ed25519Verify } of [native, noble]) {
				assert(ed25519Verify(publicKey, message, signature));
				const flipped = Uint8Array.from(signature);
				flipped[10] = (flipped[10] as number) ^ 4;
				assert(!ed25519Verify(publicKey, message, flipped));
			}
		}),
		{ numRuns: 25 },
	);
});

test("both hash parts of any length, one after another, as they hash them joined", () => {
	for (const length of [0, 1, 55, 56, 64, 4095, 4096, 4097, 100_000]) {
		const whole = Uint8Array.from({ length }, (_, index) => (index * 7 + length) & 0xff);
		const middle = length >> 1;
		const parts = [whole.subarray(0, middle), new Uint8Array(), whole.subarray(middle)];
		const digest = noble.sha256(whole);
		for (const each of [native, noble]) {
			assert.deepEqual(each.sha256(whole), digest, `${length} bytes`);
			assert.deepEqual(each.sha256(...parts), digest, `${length} bytes in parts`);
		}
	}
});

test("the hash and the signature are the standard's: RFC 6234 and RFC 8032 vectors", () => {
	const abc = bytesOfHex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	const seed = bytesOfHex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60") as Uint8Array;
	const publicKey = bytesOfHex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
	const signature = bytesOfHex(
		"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
	);
	for (const each of [native, noble]) {
		assert.deepEqual(each.sha256(utf8("abc")), abc);
		assert.deepEqual(each.ed25519PublicKey(seed), publicKey);
		assert.deepEqual(each.ed25519Sign(seed, new Uint8Array()), signature);
	}
});

test("keys and signatures of the wrong length are refused, never thrown at", () => {
	for (const { ed25519Verify } of [native, noble])
		for (const [key, signature] of [
			[0, 64],
			[31, 64],
			[33, 64],
			[32, 63],
			[32, 65],
		] as const)
			assert.equal(ed25519Verify(new Uint8Array(key), new Uint8Array(1), new Uint8Array(signature)), false);
});

test("the encoding to sign names type and lengths, so no two kinds of object share bytes", () => {
	const encoded = preAuthEncoding(PAYLOAD_TYPES.event, utf8("body"));
	assert.deepEqual(encoded, utf8("DSSEv1 39 application/vnd.daemoneye.event.v1+cbor 4 body"));
	const types = Object.values(PAYLOAD_TYPES);
	assert.equal(new Set(types).size, types.length);
});
