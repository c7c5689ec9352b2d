/** The one name of a node: `spiffe://<enclave>/<role>/<id>` (DESIGN §5). */
import { fail, ok, type Result } from "#core/result.ts";

export const NODE_ROLES = ["agent", "px", "sc"] as const;
export type NodeRole = (typeof NODE_ROLES)[number];

export interface NodeName {
	readonly enclave: string;
	readonly role: NodeRole;
	readonly id: string;
}

const PATTERN = /^spiffe:\/\/([a-z0-9][a-z0-9.-]{0,63})\/(agent|px|sc)\/([a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?)$/;

export function nodeUri(name: NodeName): string {
	return `spiffe://${name.enclave}/${name.role}/${name.id}`;
}

export function parseNodeUri(uri: string): Result<NodeName, "node_uri_invalid"> {
	const match = PATTERN.exec(uri);
	if (match === null) return fail("node_uri_invalid", `${JSON.stringify(uri.slice(0, 200))} names no node`);
	return ok({ enclave: match[1] as string, role: match[2] as NodeRole, id: match[3] as string });
}
