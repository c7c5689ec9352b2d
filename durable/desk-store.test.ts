import { deepEqual, equal } from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { hexOf } from "#core/bytes/bytes.ts";
import type { TrustDocument } from "#core/trust/trust-document.ts";
import { Acts } from "./acts.ts";
import { DeskStore } from "./desk-store.ts";
import type { LedgerFace } from "./ledger.ts";
import { DESK_LIMITS } from "./sc-objects.ts";
import { SignIn } from "./sign-in.ts";

function openDesk(): DeskStore {
	const db = new DatabaseSync(":memory:");
	return new DeskStore({
		exec: (query, ...bindings) => {
			const values = bindings.map((value) => (value instanceof ArrayBuffer ? new Uint8Array(value) : value));
			const rows = db.prepare(query).all(...values) as Record<string, unknown>[];
			return { toArray: () => rows };
		},
	});
}

function sentCommand(desk: DeskStore, commandId: string, over: { agent?: string; act?: "start" | "stop" } = {}): void {
	desk.addCommand({
		...{ commandId, traceId: "T-1", act: "start" as const, agent: "web-01", envelope: Uint8Array.of(1) },
		...{ state: "awaiting_approval" as const, expiresMs: 100, hitId: null, createdMs: 1 },
		...over,
	});
	desk.setSent(commandId, 2);
}
const answered = (desk: DeskStore, state: "accepted" | "refused", nowMs: number) =>
	desk.setAnswered("c1", { state, cause: state, nowMs });

test("accepting overrides an earlier refusal, and nothing overrides accepting", () => {
	const desk = openDesk();
	sentCommand(desk, "c1");
	equal(answered(desk, "refused", 3), true);
	equal(answered(desk, "refused", 4), false);
	equal(desk.command("c1")?.answeredMs, 3);
	equal(answered(desk, "accepted", 5), true);
	equal(answered(desk, "accepted", 6), false);
	equal(answered(desk, "refused", 7), false);
	deepEqual([desk.command("c1")?.state, desk.command("c1")?.cause], ["accepted", "accepted"]);
});

test("an agent's word about a command that never went to it counts for nothing", () => {
	const desk = openDesk();
	sentCommand(desk, "c1");
	desk.setUnsent("c1", "agent_unknown", 3);
	equal(answered(desk, "accepted", 4), false);
	const row = desk.command("c1");
	deepEqual([row?.state, row?.cause, row?.sentMs], ["refused", "agent_unknown", null]);
	equal(desk.startsSent("web-01", ["T-1"]).size, 0);
});

test("starts are counted per agent and trace, stops are not", () => {
	const desk = openDesk();
	sentCommand(desk, "c1");
	sentCommand(desk, "c2");
	sentCommand(desk, "c3", { act: "stop" });
	sentCommand(desk, "c4", { agent: "db-01", act: "stop" });
	deepEqual([...desk.startsSent("web-01", ["T-1", "T-2"])], [["T-1", 2]]);
	equal(desk.startsSent("db-01", ["T-1"]).size, 0);
});

test("a session is alive until it is idle or old, or its key is no operator's; asking keeps it no longer alive", (t) => {
	t.mock.timers.enable({ apis: ["Date"], now: 1_795_305_600_000 });
	const desk = openDesk();
	const jwk = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" });
	const publicKey = new Uint8Array(Buffer.from(jwk.x as string, "base64url"));
	let operators = [{ id: "ana", name: "Ana", publicKey, roles: [] }];
	const noLedger = (): LedgerFace => {
		throw new Error("no act is written here");
	};
	const signIn = new SignIn(desk, new Acts(desk, noLedger), () => ({ operators }) as unknown as TrustDocument);
	desk.addSession("aa", "ana", hexOf(publicKey), Date.now());
	const alive = () => signIn.aliveSessions(["aa", "bb"]);
	t.mock.timers.tick(DESK_LIMITS.sessionIdleMs);
	deepEqual(alive(), ["aa"]);
	t.mock.timers.tick(1);
	deepEqual(alive(), []);
	desk.touchSession("aa", Date.now());
	deepEqual(alive(), ["aa"]);
	operators = [];
	deepEqual(alive(), []);
});
