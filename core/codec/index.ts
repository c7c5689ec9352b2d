/** The codec's public face. */
export { type CborValue, decodeCbor, encodeBy, encodeCbor } from "./cbor.ts";
export { CBOR_LIMITS, type CborLimits } from "./limits.ts";
export { type CborCode, scanCbor } from "./scan.ts";
export {
	bool,
	bytes,
	decodeAs,
	encodeAs,
	encodeInPlaceAs,
	field,
	fixedBytes,
	int32,
	list,
	oneOf,
	openRecord,
	optional,
	type RecordOf,
	readAs,
	record,
	type Shape,
	type ShapeCode,
	type TypeOf,
	text,
	uint,
	uint64,
	WALL_MS_MAX,
	wallMs,
} from "./schema.ts";
