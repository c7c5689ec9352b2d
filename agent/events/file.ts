/**
 * Hashes of files and the first bytes of executable mappings. A hash that comes after its exec is joined to it by the file's
 * identity (device, inode, size, times), which both events carry. Guarantees that content and its hash agree.
 */
import { equalBytes } from "#core/bytes/bytes.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { sha256 } from "#crypto";
import { type CaptureFrame, tagBytes } from "../capture/frame.ts";
import { putAbsent } from "./absent.ts";
import { type Payload, tagText } from "./fields.ts";

/** Longer reasons are cut when the entry is made; this bounds what is read for it. */
const CAUSE_LENGTH_MAX = 60;

export function putHashes(frame: CaptureFrame, payload: Payload): void {
	const cause = tagText(frame, "CAUSE", CAUSE_LENGTH_MAX);
	if (cause === undefined) return;
	if (payload.sha256 === undefined) putAbsent(payload, "sha256", cause);
	if (payload.blake3 === undefined) putAbsent(payload, "blake3", cause);
}

/** `isAllowed` by the policy in force now: the frame may have been made under the one before. */
export function putMemoryHeader(frame: CaptureFrame, payload: Payload, isAllowed: boolean): void {
	if (!isAllowed) {
		delete payload.sha256;
		putAbsent(payload, "content", "not_allowed");
		return;
	}
	const content = tagBytes(frame, "CONTENT");
	if (content === undefined || content.length > MODEL_LIMITS.memoryHeaderBytesMax) {
		const cause = tagText(frame, "CAUSE", CAUSE_LENGTH_MAX);
		putAbsent(payload, "content", content === undefined ? (cause ?? "unstated") : "too_large");
		return;
	}
	payload.content = content.slice();
	if (payload.sha256 === undefined || equalBytes(payload.sha256, sha256(content))) return;
	delete payload.sha256;
	putAbsent(payload, "sha256", "differs_from_content");
}
