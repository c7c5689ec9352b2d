/**
 * Names of nodes, traces and processes. A process key is what joins everything about one process, however it was seen; it is the
 * same from BPF and from /proc because both know the start time in ticks of 10 ms.
 */
import { utf8 } from "#core/bytes/bytes.ts";
import { fixedBytes, text } from "#core/codec/index.ts";
import { sha256 } from "#crypto";
import { MODEL_LIMITS } from "./limits.ts";

/** `web-01`: the last part of a node's URI, a path segment that needs no escaping anywhere. */
export const nodeIdShape = text(MODEL_LIMITS.nodeIdLengthMax, /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/);
/** `T-20261122-4f1c9a`. */
export const traceIdShape = text(MODEL_LIMITS.traceIdLengthMax, /^T-[0-9]{8}-[a-z0-9]{3,32}$/);
export const processKeyShape = fixedBytes(16);
export const streamIdShape = fixedBytes(8);
export const commandIdShape = fixedBytes(16);
export const hashShape = fixedBytes(32);
export const signatureShape = fixedBytes(64);
export const publicKeyShape = fixedBytes(32);

/** What identifies one process on one machine in one boot. */
export interface ProcessIdentity {
	/** /etc/machine-id as text. */
	readonly machineId: string;
	/** /proc/sys/kernel/random/boot_id as text. */
	readonly bootId: string;
	/** Process id in the init pid namespace. */
	readonly tgid: number;
	/** Field 22 of /proc/PID/stat: start_boottime in ticks of 10 ms. */
	readonly startTicks: bigint;
}

/** The 128-bit process key (DESIGN §6): the first half of a SHA-256 over length-framed fields. */
export function processKeyOf(identity: ProcessIdentity): Uint8Array {
	const fields = `${identity.machineId.length}:${identity.machineId}${identity.bootId.length}:${identity.bootId}`;
	const numbers = `${identity.tgid}:${identity.startTicks}`;
	return sha256(utf8(`daemoneye-process-key-v1 ${fields} ${numbers}`)).subarray(0, 16);
}
