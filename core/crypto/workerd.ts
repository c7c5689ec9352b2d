/**
 * The primitives in workerd: Ed25519 by the platform, SHA-256 by a WebAssembly module that is part of the bundle, because the
 * platform's own costs five to ten times as much for what we hash most (events and tree nodes of some hundred bytes). Exports what
 * `native.ts` does, under the `workerd` import condition.
 */
import module from "./sha256.wasm";
import { WasmSha256 } from "./wasm-sha256.ts";

export { ed25519PublicKey, ed25519Sign, ed25519Verify } from "./native.ts";

const hash = new WasmSha256(new WebAssembly.Instance(module).exports);

/** SHA-256 (FIPS 180-4) over the concatenation of the parts; 32 bytes. */
export function sha256(...parts: Uint8Array[]): Uint8Array {
	return hash.digest(parts);
}
