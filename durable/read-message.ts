/** One WebSocket message as a frame: binary, within the receiver's bound, readable. What is not has a name. */
import { decodeFrame, type Frame, type FrameCode } from "#core/protocol/index.ts";
import { fail, type Result } from "#core/result.ts";

export type MessageCode = FrameCode | "frame_not_binary" | "frame_too_large";

export function readMessage(message: string | ArrayBuffer, bytesMax: number): Result<Frame, MessageCode> {
	if (typeof message === "string") return fail("frame_not_binary", "frames are binary messages");
	if (message.byteLength > bytesMax) return fail("frame_too_large", `${message.byteLength} bytes, at most ${bytesMax}`);
	return decodeFrame(new Uint8Array(message));
}
