/**
 * The ids of running traces on disk, for one purpose: an agent that starts again seals what it finds. A trace does not survive
 * its agent, because between the two processes events were lost that nobody counted.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeAs, encodeAs, list } from "#core/codec/index.ts";
import { traceIdShape } from "#core/model/ids.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { Log } from "../log.ts";
import { DiskFailure, isDiskFull, writeFileDurably } from "../outbox/storage.ts";

const FILE_NAME = "active-traces.cbor";
const idsShape = list(traceIdShape, AGENT_LIMITS.traceSlotsMax);

export function readActiveTraces(directory: string, log: Log): readonly string[] {
	const path = join(directory, FILE_NAME);
	if (!existsSync(path)) return [];
	const ids = decodeAs(idsShape, readFileSync(path));
	if (ids.ok) return ids.value;
	// Their seals are lost, which the Security Center sees as a trace whose deadline passed without one.
	log("active_traces_damaged", { detail: ids.detail });
	return [];
}

export function writeActiveTraces(directory: string, traceIds: readonly string[], log: Log): void {
	try {
		writeFileDurably(directory, FILE_NAME, encodeAs(idsShape, traceIds));
	} catch (error) {
		if (!isDiskFull(error))
			throw new DiskFailure(`The list of traces could not be written: ${(error as Error).message}.`);
		log("disk_full", { file: FILE_NAME });
	}
}
