/**
 * The capture policy as the frame that procmond takes. Guarantees that what is sent fits the kernel's tables: their keys are
 * bytes where the signed policy counts characters, so a longer path is left out and counted, never cut into a wider prefix.
 */
import { utf8 } from "#core/bytes/bytes.ts";
import { CAPTURE_POLICY_LIMITS, type CapturePolicy } from "#core/trust/capture-policy.ts";
import { encodeFrame } from "./frame.ts";

export interface PolicyFrame {
	readonly bytes: Uint8Array;
	/** Paths that no key of the kernel's table can hold. */
	readonly leftOutCount: number;
}

export function encodePolicy(policy: CapturePolicy): PolicyFrame {
	const fits = (path: string) => utf8(path).length <= CAPTURE_POLICY_LIMITS.watchPathLengthMax;
	const watchPaths = policy.watchPaths.filter(fits);
	const credentialPaths = policy.credentialPaths.filter(fits);
	const all = policy.watchPaths.length + policy.credentialPaths.length;
	const bytes = encodeFrame({
		kind: "policy",
		tags: {
			WATCH_PATHS: watchPaths.join("\0"),
			CREDENTIAL_PATHS: credentialPaths.join("\0"),
			ENV_NAMES: policy.environmentNames.join("\0"),
			HASH_BYTES_MAX: BigInt(policy.hashBytesMax),
			NEW_FILE_BYTES_MAX: BigInt(policy.newFileHashBytesMax),
			MEMORY_HEADERS: Number(policy.allowsMemoryHeaders),
		},
	});
	return { bytes, leftOutCount: all - watchPaths.length - credentialPaths.length };
}
