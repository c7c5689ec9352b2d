/**
 * One child's log: `logs/<name>.log`, 0600, with one predecessor `<name>.log.1`, so its disk use is bounded by two caps. It also
 * keeps the last lines in memory for the error a person reads when the child fails. Must never hold back the child: a full disk
 * loses log lines, counted in `lostBytes`, and nothing else.
 */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";
import { lossyTextOf } from "#core/bytes/bytes.ts";
import { HOST_LIMITS } from "../limits.ts";

export interface LogFile {
	write(chunk: Uint8Array): void;
	/** The last lines written, oldest first. */
	tail(): string[];
	/** Bytes that could not be written. */
	lostBytes(): number;
	close(): void;
}

export interface LogLimits {
	readonly logBytesMax: number;
	readonly logTailLines: number;
	readonly logTailLineCharactersMax: number;
}

/** Opens the log for appending. Throws the system's error when the file cannot be made. */
export function openLogFile(path: string, limits: LogLimits = HOST_LIMITS): LogFile {
	let descriptor = openSync(path, "a", 0o600);
	let size = fstatSync(descriptor).size;
	let lost = 0;
	let lines: string[] = [];
	let partial = "";

	function rotate(): void {
		renameSync(path, `${path}.1`);
		const next = openSync(path, "a", 0o600);
		// Closed last: were it closed before a failing open, its number could come to name somebody else's file.
		closeSync(descriptor);
		descriptor = next;
		size = 0;
	}

	function remember(chunk: Uint8Array): void {
		const parts = (partial + lossyTextOf(chunk)).split("\n");
		partial = (parts.pop() ?? "").slice(0, limits.logTailLineCharactersMax);
		for (const line of parts) if (line !== "") lines.push(line.slice(0, limits.logTailLineCharactersMax));
		lines = lines.slice(-limits.logTailLines);
	}

	return {
		write(chunk) {
			remember(chunk);
			try {
				if (size > 0 && size + chunk.length > limits.logBytesMax) rotate();
				// One chunk is one pipe read (64 KiB), far below any sensible cap; a larger one is cut to it.
				const kept = chunk.subarray(0, limits.logBytesMax);
				size += writeSync(descriptor, kept);
				lost += chunk.length - kept.length;
			} catch {
				// A full or failing disk must not stop the child that is only talking; the loss is counted.
				lost += chunk.length;
			}
		},
		tail: () => (partial === "" ? lines : [...lines, partial]).slice(-limits.logTailLines),
		lostBytes: () => lost,
		close: () => closeSync(descriptor),
	};
}
