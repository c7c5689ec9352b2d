/**
 * WebCrypto answers from a thread pool, in no order that a seed could repeat. The few questions that proving a node asks are the same
 * in every world of a process, so they are asked once for real while the enclave is made and answered from memory afterwards.
 * Guarantees that a question never asked before fails by name instead of running beside the world's clock.
 */
import type { webcrypto } from "node:crypto";

const answers = new Map<string, unknown>();
const keyNames = new WeakMap<object, string>();
let isRecording = false;
let isDone = false;

export const isPrepared = (): boolean => isRecording || isDone;

/** Questions asked while `ask` runs are the ones that can be asked later. */
export async function prepareCrypto(ask: () => Promise<void>): Promise<void> {
	isRecording = true;
	await ask();
	isRecording = false;
	isDone = true;
}

const hexOf = (bytes: unknown): string =>
	bytes instanceof ArrayBuffer || ArrayBuffer.isView(bytes)
		? Buffer.from(
				bytes instanceof ArrayBuffer
					? new Uint8Array(bytes)
					: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
			).toString("hex")
		: (keyNames.get(bytes as object) ?? JSON.stringify(bytes));

type Question = (...args: unknown[]) => Promise<unknown>;

/** The subtle of a world: what was asked before, answered at once. */
export function preparedSubtle(real: webcrypto.SubtleCrypto): webcrypto.SubtleCrypto {
	const question =
		(name: "importKey" | "verify"): Question =>
		async (...args) => {
			const key = `${name} ${args.map(hexOf).join(" ")}`;
			if (answers.has(key)) return answers.get(key);
			if (!isRecording) throw new Error(`a world asked WebCrypto something new: ${name}`);
			const answer = await (real[name] as Question).apply(real, args);
			if (typeof answer === "object" && answer !== null) keyNames.set(answer, key);
			answers.set(key, answer);
			return answer;
		};
	return { importKey: question("importKey"), verify: question("verify") } as unknown as webcrypto.SubtleCrypto;
}
