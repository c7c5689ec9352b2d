/** The protocol's public face. */
export {
	CUSTODY_LEVELS,
	carriedShape,
	decodeFrame,
	encodeFrame,
	type Frame,
	type FrameBody,
	type FrameCode,
	type FrameType,
	type Health,
	healthShape,
	type LinkHealth,
	linkHealthShape,
} from "./frames.ts";
export { LINK_LIMITS } from "./limits.ts";
export { DEFAULT_PARENT_TIMES, PARENT_LIMITS, Parents, type ParentTimes } from "./parents.ts";
export { type PipeBounds, PipeDepth } from "./pipe-depth.ts";
export {
	PROXY_WORD_LIMITS,
	type ProxyWord,
	type ProxyWordCode,
	signProxyWord,
	verifyProxyWord,
} from "./proxy-word.ts";
export { isPassingCode, isRoomCode, ROOM_CODES, type RoomCode } from "./refusals.ts";
export { EMPTY_STREAM, judgeSequence, type SequenceVerdict, type StreamState, UNKNOWN_HASH } from "./sequence.ts";
