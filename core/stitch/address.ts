/**
 * IP addresses as text in one spelling, so that the two ends of a connection compare equal: a dual-stack socket reports
 * `::ffff:10.0.0.2` where its peer reports `10.0.0.2`. Must never resolve a name.
 */

function isMapped(bytes: Uint8Array): boolean {
	return (
		bytes.length === 16 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255
	);
}

/** RFC 5952: lower case, the longest run of at least two zero groups shortened, the first of equals. */
function textOfV6(bytes: Uint8Array): string {
	const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number));
	let best = { start: -1, length: 1 };
	for (let start = 0; start < 8; start++) {
		let length = 0;
		while (start + length < 8 && groups[start + length] === 0) length++;
		if (length > best.length) best = { start, length };
	}
	const hex = groups.map((group) => group.toString(16));
	if (best.start < 0) return hex.join(":");
	return `${hex.slice(0, best.start).join(":")}::${hex.slice(best.start + best.length).join(":")}`;
}

/** `10.0.0.2` or `fd00::2` of 4 or 16 bytes in network order, IPv4-mapped IPv6 as IPv4; null for any other length. */
export function addressText(bytes: Uint8Array): string | null {
	if (bytes.length === 4) return bytes.join(".");
	if (isMapped(bytes)) return bytes.subarray(12).join(".");
	return bytes.length === 16 ? textOfV6(bytes) : null;
}

/** `10.0.0.2:22` or `[fd00::2]:22`. */
export function endpointText(address: string, port: number): string {
	return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** 127.0.0.0/8 or ::1: both ends are on one host. */
export function isLoopback(address: string): boolean {
	return address.startsWith("127.") || address === "::1";
}
