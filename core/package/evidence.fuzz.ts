/** Fuzz target of what is derived from batches: whatever a batch says of its times and gaps, the manifest and the view are made. */
import { ed25519Signer, signCheckpoint } from "#core/ledger/index.ts";
import { readBatch, sealBatch, sealEvent } from "#core/model/batch.ts";
import type { Event } from "#core/model/event.ts";
import { assertInvariant } from "#core/result.ts";
import { bytesNamed, TestAgent } from "#core/testing/test-agent.ts";
import { signTrustDocument } from "#core/trust/trust-document.ts";
import { ed25519PublicKey } from "#crypto";
import { derivedPredicate, openBatch } from "./layout.ts";
import { makeManifest } from "./manifest.ts";
import { eventsView } from "./view.ts";

export const name = "package_evidence";

const TRACE_ID = "T-20261122-abc123";
const ORIGIN = "sc.lab/ledger";
const SEED = bytesNamed("fuzz", 32);
const KEY = ed25519PublicKey(SEED);
const trust = signTrustDocument(
	{
		version: 0,
		enclave: "lab",
		prevHash: new Uint8Array(32),
		mode: "solo",
		operators: [],
		traceApprovals: 0,
		successorKeys: [KEY],
		successorThreshold: 1,
		ledgerOrigin: ORIGIN,
		ledgerKey: KEY,
		isMaskingRequired: true,
		traceDepthMax: 6,
		traceDurationSecsMax: 3600,
	},
	[],
).bytes;
const checkpoint = signCheckpoint({ origin: ORIGIN, size: 1, root: new Uint8Array(32) }, ed25519Signer(ORIGIN, SEED));
const input = { traceId: TRACE_ID, trust: [trust], commands: [], checkpoint };
const scope = { traceId: TRACE_ID, commandIds: new Set<string>(), commanded: new Set(["web-01"]) };

export function corpus(): Uint8Array[] {
	const web = new TestAgent("web-01");
	const seal = { cause: "stopped", eventCount: Number.MAX_SAFE_INTEGER, gapCount: Number.MAX_SAFE_INTEGER };
	const gap = { gapScope: "cpu", gapCpu: 1, gapFrom: 2n ** 64n - 1n, gapTo: 0n, cause: "x" } as const;
	const told = web.batch("alert", [
		{ kind: "exec", traceId: TRACE_ID, payload: { pid: 1, name: "bash" } },
		{ kind: "trace_seal", traceId: TRACE_ID, payload: seal },
		{ kind: "gap", payload: gap },
	]);
	const read = readBatch(told.bytes);
	const opened = openBatch(told.bytes);
	assertInvariant(read.ok && opened.ok, "the corpus does not read");
	const { eventCount: _, eventsRoot: __, ...header } = read.value.header;
	const late = (wallTimeMs: number): Uint8Array => {
		const events = opened.value.events.map((event): Event => ({ ...event, wallTimeMs, kernelTimeNs: 2n ** 64n - 1n }));
		return sealBatch(
			header,
			events.map((event) => sealEvent(event, null)),
			SEED,
		).bytes;
	};
	return [told.bytes, late(8_640_000_000_000_000), late(8_640_000_000_000_001), late(Number.MAX_SAFE_INTEGER)];
}

export function run(bytes: Uint8Array): void {
	const opened = openBatch(bytes);
	if (!opened.ok) return;
	makeManifest(new Map([["view/events.ndjson", eventsView([opened.value], scope)]]), {
		...derivedPredicate(input, [opened.value]),
		exporter: { operator: "ana", reason: "x" },
		preparedAt: "",
		hosts: [],
		tool: { name: "x", version: "" },
		hashAlgorithm: "sha256",
		limitations: [],
	});
}
