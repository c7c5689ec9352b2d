/**
 * How a verified identity travels from the worker that checked a hello to the object it addresses: one internal header. Workers
 * build the object's request from nothing, so no outside request can carry it.
 */
import { base64Of, bytesOfBase64 } from "#core/bytes/bytes.ts";
import { bytes, decodeAs, encodeAs, field, optional, record, type TypeOf, text, uint } from "#core/codec/index.ts";
import { nodeProofShape } from "#core/identity/binding.ts";
import { agentStatusShape } from "#core/identity/hello.ts";
import { ROUTE_LIMITS } from "#core/identity/route.ts";
import { nodeIdShape } from "#core/model/ids.ts";
import { assertInvariant } from "#core/result.ts";

export const ADMITTED_HEADER = "daemoneye-admitted";

const admittedShape = record({
	id: field(1, nodeIdShape),
	proof: field(2, nodeProofShape),
	signingKey: field(3, bytes(32)),
	notAfterMs: field(4, uint()),
	status: optional(5, agentStatusShape),
	/** `spiffe://…`, as its certificate says. */
	uri: field(6, text(200)),
	/** The hello itself, for the nodes above, and the time it names. */
	hello: field(7, bytes(ROUTE_LIMITS.helloBytesMax)),
	helloTimeMs: field(8, uint()),
});
/** A node whose hello was accepted. */
export type Admitted = TypeOf<typeof admittedShape>;

/** The only request an object's `fetch` ever gets: an upgrade with the identity and nothing else of the outside one. */
export function admittedRequest(admitted: Admitted): Request {
	const headers = { upgrade: "websocket", [ADMITTED_HEADER]: base64Of(encodeAs(admittedShape, admitted)) };
	return new Request("https://object.invalid/", { headers });
}

/** Reads the identity back; a request without one never left a link gate. */
export function readAdmitted(request: Request): Admitted {
	const encoded = bytesOfBase64(request.headers.get(ADMITTED_HEADER) ?? "");
	assertInvariant(encoded !== null && encoded.length > 0, "an object was addressed past the link gate");
	const admitted = decodeAs(admittedShape, encoded);
	assertInvariant(admitted.ok, "the link gate wrote an identity that does not read");
	return admitted.value;
}
