/**
 * Export in two steps, because the Security Center has no key of its own: it prepares the package and shows the manifest, the
 * operator signs it, and only then is there an archive. A prepared package waits in memory for some minutes; a restart forgets it
 * and preparing again is harmless. Contract: api/answers.ts.
 */
import { Hono } from "hono";
import { base64Of, bytesOfHex, hexOf } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES, preAuthEncoding } from "#core/crypto/dsse.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { type PreparedPackage, preparePackage, sealPackage } from "#core/package/layout.ts";
import { ed25519Verify } from "#crypto";
import type { ExportAnswer } from "../api/answers.ts";
import { gatherPackage } from "../export/gather.ts";
import { jsonBody, type ScHono, withRole } from "./guard.ts";
import { problem } from "./problems.ts";

const WAITING = {
	/** An operator signs at once; a hardware key takes a moment. */
	ageMs: 10 * 60_000,
	/** Packages in memory, each up to the export's own limit. */
	max: 4,
} as const;

interface Waiting {
	readonly prepared: PreparedPackage;
	readonly operator: string;
	readonly fileName: string;
	readonly expiresAtMs: number;
}

const waiting = new Map<string, Waiting>();

function forgetOld(nowMs: number): void {
	for (const [id, { expiresAtMs }] of waiting) if (expiresAtMs < nowMs) waiting.delete(id);
	for (const id of waiting.keys()) if (waiting.size >= WAITING.max) waiting.delete(id);
}

export const exportRoutes = new Hono<ScHono>()
	.post("/traces/:id/export/prepare", withRole("exporter"), async (context) => {
		const body = await jsonBody(context);
		if (!body.ok) return problem(body);
		const reason = body.value.reason;
		if (typeof reason !== "string" || reason.trim() === "" || reason.length > MODEL_LIMITS.sentenceLengthMax)
			return problem({ code: "request_malformed", detail: "An export needs a reason of one sentence." });
		const operator = context.get("session").operator.id;
		const traceId = context.req.param("id");
		const gathered = await gatherPackage(context.env, { traceId, operator, reason });
		if (!gathered.ok) return problem(gathered);
		const prepared = preparePackage(gathered.value);
		if (!prepared.ok) return problem(prepared);
		const nowMs = Date.now();
		forgetOld(nowMs);
		const exportId = hexOf(crypto.getRandomValues(new Uint8Array(16)));
		const fileName = `${traceId}.depkg`;
		const expiresAtMs = nowMs + WAITING.ageMs;
		waiting.set(exportId, { prepared: prepared.value, operator, fileName, expiresAtMs });
		const answer: ExportAnswer = { exportId, manifest: base64Of(prepared.value.manifest), fileName, expiresAtMs };
		return context.json(answer);
	})
	.post("/exports/:exportId", withRole("exporter"), async (context) => {
		const { operator } = context.get("session");
		const exportId = context.req.param("exportId");
		const found = waiting.get(exportId);
		if (found === undefined || found.operator !== operator.id || found.expiresAtMs < Date.now())
			return problem({ code: "export_unknown", detail: "There is no such export; prepare it again." });
		const body = await jsonBody(context);
		if (!body.ok) return problem(body);
		const signature = typeof body.value.signature === "string" ? bytesOfHex(body.value.signature) : null;
		const message = preAuthEncoding(PAYLOAD_TYPES.packageManifest, found.prepared.manifest);
		if (signature === null || !ed25519Verify(operator.publicKey, message, signature))
			return problem({ code: "signature_invalid", detail: "Your key did not sign this manifest." });
		waiting.delete(exportId);
		return context.body(new Uint8Array(sealPackage(found.prepared, operator.id, signature)), 200, {
			"content-type": "application/zip",
			"content-disposition": `attachment; filename="${found.fileName}"`,
		});
	});
