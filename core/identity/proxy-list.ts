/**
 * The proxies an agent is assigned to, as its certificate names them: under the issuing CA's signature, because it is the enclave's
 * decision and neither the agent's nor a proxy's (docs/adr/0013). Guarantees that a list which does not read refuses the certificate.
 * A certificate without the list was issued for every proxy of its enclave; nobody below the CA can take a list away.
 */
import { decodeAs, encodeAs, list, type ShapeCode } from "#core/codec/index.ts";
import { nodeIdShape } from "#core/model/ids.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { parseNodeUri } from "./node-uri.ts";

/** Our own arc below 2.25, which needs no registry. Not critical: TLS libraries refuse critical extensions that they do not know. */
export const PROXY_LIST_OID = "2.25.7160341975230";

export const PROXY_LIST_LIMITS = {
	/** A site's proxies and its region's, twice over. */
	proxiesMax: 16,
} as const;

const proxyListShape = list(nodeIdShape, PROXY_LIST_LIMITS.proxiesMax);

/** The extension's value: node ids in deterministic CBOR. */
export function encodeProxyList(proxies: readonly string[]): Uint8Array {
	return encodeAs(proxyListShape, [...proxies]);
}

/** An empty list is none: an agent that may go nowhere is not issued a certificate. */
export function decodeProxyList(value: Uint8Array): Result<readonly string[], ShapeCode | "proxy_list_empty"> {
	const proxies = decodeAs(proxyListShape, value);
	if (!proxies.ok) return proxies;
	return proxies.value.length === 0 ? fail("proxy_list_empty", "the list of proxies names none") : ok(proxies.value);
}

/** Whether an agent with this list and that node belong together. */
export function isListed(proxies: readonly string[] | null, nodeUri: string): boolean {
	if (proxies === null) return true;
	const node = parseNodeUri(nodeUri);
	return node.ok && node.value.role === "px" && proxies.includes(node.value.id);
}
