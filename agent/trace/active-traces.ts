/**
 * The ids of running traces on disk, for one purpose: an agent that starts again seals what it finds. A trace does not survive
 * its agent, because between the two processes events were lost that nobody counted. Sealed, and of one size whether no trace runs
 * or every slot is taken.
 */
import { decodeAs, encodeAs, list } from "#core/codec/index.ts";
import { traceIdShape } from "#core/model/ids.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import type { SealedFile, SealedFiles } from "../disk-key/sealed-files.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { Log } from "../log.ts";
import { DiskFailure, isDiskFull } from "../outbox/storage.ts";

const FILE_NAME = "active-traces";
/** Every slot with the longest id: the length of an id and of the list take at most 3 bytes each. */
const CONTENT_BYTES_MAX = 3 + AGENT_LIMITS.traceSlotsMax * (3 + MODEL_LIMITS.traceIdLengthMax);
const idsShape = list(traceIdShape, AGENT_LIMITS.traceSlotsMax);

export function activeTracesFile(files: SealedFiles): SealedFile {
	return files.file(FILE_NAME, { contentBytesMax: CONTENT_BYTES_MAX });
}

export function readActiveTraces(file: SealedFile, log: Log): readonly string[] {
	const content = file.read();
	if (content.ok && content.value === null) return [];
	const ids = content.ok ? decodeAs(idsShape, content.value as Uint8Array) : content;
	if (ids.ok) return ids.value;
	// Their seals are lost, which the Security Center sees as a trace whose deadline passed without one.
	log("active_traces_damaged", { detail: ids.detail });
	return [];
}

export function writeActiveTraces(file: SealedFile, traceIds: readonly string[], log: Log): void {
	try {
		file.write(encodeAs(idsShape, traceIds));
	} catch (error) {
		if (!isDiskFull(error))
			throw new DiskFailure(`The list of traces could not be written: ${(error as Error).message}.`);
		log("disk_full", { file: FILE_NAME });
	}
}
