/**
 * CRC-32 as ZIP uses it (polynomial 0xEDB88320, reflected). Finds accidents, not forgers: who changed a file on
 * purpose is found by the hashes of the manifest.
 */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
	let remainder = byte;
	for (let bit = 0; bit < 8; bit++) remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb88320 : remainder >>> 1;
	return remainder;
});

/** The unsigned 32-bit checksum. */
export function crc32(bytes: Uint8Array): number {
	let remainder = 0xffffffff;
	for (let i = 0; i < bytes.length; i++) {
		remainder = (TABLE[(remainder ^ (bytes[i] as number)) & 0xff] as number) ^ (remainder >>> 8);
	}
	return (remainder ^ 0xffffffff) >>> 0;
}
