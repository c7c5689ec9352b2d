/**
 * The tags of one frame, read where they lie: the frame keeps its bytes, and a value becomes an object when it is asked for. A
 * frame may wait for others that belong before it, and hundreds of small objects that outlive a collection are what the agent
 * would pay for. Guarantees that every tag fits the frame, known ones have their width, and none stands twice. Must never look
 * beyond the frame's own bytes.
 */
import { fail, ok, type Result } from "#core/result.ts";
import { HEADER_BYTES, TAG_LAST, TAG_WIDTHS, TAGS, type TagName, TLV_BYTES } from "./layout.ts";

export type TagCode = "tlv_overrun" | "tlv_doubled" | "tlv_width";

/** By tag; 0 = any length. */
const WIDTHS = new Uint8Array(TAG_LAST + 1);
for (const [name, width] of Object.entries(TAG_WIDTHS)) WIDTHS[TAGS[name as TagName]] = width;

/** The walk that last met each tag: a mark that needs no clearing. */
const metInWalk = new Uint32Array(TAG_LAST + 1);
let walk = 0;

export class FrameTags {
	/** Over the frame's body. */
	readonly view: DataView;
	/** Tags of this frame that this version does not know. */
	readonly skippedCount: number;

	/** The tags were walked before: use `readTags`. */
	constructor(view: DataView, skippedCount: number) {
		this.view = view;
		this.skippedCount = skippedCount;
	}

	/** Where a tag's value begins, or -1; its length stands in the two bytes before. */
	offsetOf(tag: number): number {
		const { view } = this;
		let at = HEADER_BYTES;
		while (at < view.byteLength) {
			if (view.getUint16(at, true) === tag) return at + TLV_BYTES;
			at += TLV_BYTES + view.getUint16(at + 2, true);
		}
		return -1;
	}

	lengthAt(offset: number): number {
		return this.view.getUint16(offset - 2, true);
	}

	/** A view of a value. */
	bytesAt(offset: number): Uint8Array {
		const { buffer, byteOffset } = this.view;
		return new Uint8Array(buffer, byteOffset + offset, this.lengthAt(offset));
	}

	/** Every known tag and where its value begins, in the order of the frame. */
	each(take: (tag: number, offset: number) => void): void {
		const { view } = this;
		let at = HEADER_BYTES;
		while (at < view.byteLength) {
			const tag = view.getUint16(at, true);
			if (tag !== 0 && tag <= TAG_LAST) take(tag, at + TLV_BYTES);
			at += TLV_BYTES + view.getUint16(at + 2, true);
		}
	}
}

/** Walks what follows the header of a frame's body. */
export function readTags(view: DataView): Result<FrameTags, TagCode> {
	const size = view.byteLength;
	let skipped = 0;
	let at = HEADER_BYTES;
	walk++;
	if (walk > 0xffff_ffff) {
		metInWalk.fill(0);
		walk = 1;
	}
	while (at < size) {
		if (size - at < TLV_BYTES) return fail("tlv_overrun", `${size - at} bytes are no tag and length`);
		const tag = view.getUint16(at, true);
		const length = view.getUint16(at + 2, true);
		at += TLV_BYTES;
		if (length > size - at) return fail("tlv_overrun", `tag ${tag} claims ${length} of ${size - at} bytes`);
		if (tag === 0 || tag > TAG_LAST) skipped++;
		else {
			const width = WIDTHS[tag] as number;
			if (width !== 0 && width !== length) return fail("tlv_width", `tag ${tag} has ${length} bytes, not ${width}`);
			if (metInWalk[tag] === walk) return fail("tlv_doubled", `tag ${tag} stands twice`);
			metInWalk[tag] = walk;
		}
		at += length;
	}
	return ok(new FrameTags(view, skipped));
}
