/**
 * What only the exporter can know and therefore states in the manifest; the rest of the manifest follows from the other files and
 * is made again (`check-manifest.ts`). Read defensively: the bytes are anyone's until the manifest's signature is checked.
 */
import { textOf } from "#core/bytes/bytes.ts";
import { MANIFEST_NAME } from "#core/package/manifest.ts";
import { TRUST_MODES } from "#core/trust/trust-document.ts";
import { reader, readJson } from "./json-shape.ts";
import { VERIFY_LIMITS } from "./limits.ts";

export interface Claims {
	readonly traceId: string;
	readonly enclave: string;
	readonly mode: (typeof TRUST_MODES)[number];
	readonly exporter: string;
	readonly reason: string;
	readonly preparedAtMs: number;
	/** Agents of the clock table. */
	readonly hosts: readonly string[];
	/** The whole predicate, for comparing. */
	readonly predicate: Readonly<Record<string, unknown>>;
}

const read = reader(VERIFY_LIMITS.claimLengthMax);

function readPredicate(json: unknown): Claims {
	const predicate = read.object(read.object(json).predicate);
	const exporter = read.object(predicate.exporter);
	const tool = read.object(predicate.tool);
	for (const text of [tool.name, tool.version]) read.text(text);
	return {
		traceId: read.text(predicate.traceId),
		enclave: read.text(predicate.enclave),
		mode: read.oneOf(predicate.mode, TRUST_MODES),
		exporter: read.text(exporter.operator),
		reason: read.text(exporter.reason),
		preparedAtMs: read.time(predicate.preparedAt),
		hosts: read.list(predicate.hosts).map((each) => {
			const host = read.object(each);
			read.text(host.hostName);
			read.text(host.clockSource);
			if (host.clockOffsetMs !== null) read.number(host.clockOffsetMs);
			return read.text(host.agent);
		}),
		predicate,
	};
}

/** The claims in manifest.json, or null when it is no manifest of this kind. */
export function readClaims(files: ReadonlyMap<string, Uint8Array>): Claims | null {
	const text = textOf(files.get(MANIFEST_NAME) ?? new Uint8Array());
	const claims = text === null ? null : readJson(text, readPredicate);
	return claims?.ok ? claims.value : null;
}
