/**
 * Where people's acts are decided and written down: sign-in, invitations and trust documents, and the life of every TraceCommand
 * from its signature to the agent's answer and the trace's seal. Guarantees: an act is in the signed ledger before it has effect,
 * and so is a refusal; nothing is sent that an agent would refuse for a reason known here. This desk's judgement is a courtesy:
 * the agent decides by its own pinned trust, so a desk that lies gains nothing.
 */
import { DurableObject } from "cloudflare:workers";
import { hexOf, utf8 } from "#core/bytes/bytes.ts";
import { decodeAs, encodeAs } from "#core/codec/index.ts";
import { signedEnvelopeShape, type TraceCommand, traceCommandShape } from "#core/model/command.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import { operatorById, type TrustDocument } from "#core/trust/trust-document.ts";
import { type CommandCode, verifyTraceCommand } from "#core/trust/verify-command.ts";
import { type Act, Acts } from "./acts.ts";
import { type ActRow, type CommandRow, DeskStore, type SealRow } from "./desk-store.ts";
import type { AgentChannelFace, Namespace } from "./faces.ts";
import type { FeedFace } from "./feed.ts";
import type { LedgerCode, LedgerFace } from "./ledger.ts";
import { DESK_LIMITS, OBJECT_NAMES } from "./sc-objects.ts";
import { type SessionFacts, SignIn, type SignInCode } from "./sign-in.ts";
import { type Redeemed, TrustKeeper, type TrustKeeperCode, type TrustKeeperEnv } from "./trust-keeper.ts";

export interface TraceDeskEnv extends TrustKeeperEnv {
	readonly ENCLAVE: string;
	readonly LEDGER: Namespace<LedgerFace>;
	readonly FEED: Namespace<FeedFace>;
	readonly AGENT_CHANNEL: Namespace<Pick<AgentChannelFace, "enqueueCommand">>;
}

export type DeskCode =
	| CommandCode
	| LedgerCode
	| "command_unknown"
	| "command_not_waiting"
	| "command_trace_unknown"
	| "approver_is_initiator"
	| "role_missing";

export interface DeskState {
	readonly trust: TrustDocument;
	readonly isAwaitingOperators: boolean;
}

export interface CommandFacts extends CommandRow {
	readonly command: TraceCommand;
	readonly payload: Uint8Array;
	/** Operators whose signatures the envelope bears, the initiator first. */
	readonly signers: readonly string[];
	readonly approvalsNeeded: number;
}

/** What an agent's alert lane says about commands and traces. */
export interface AgentNews {
	readonly agent: string;
	readonly answers: readonly { commandId: string; isAccepted: boolean; cause: string }[];
	readonly seals: readonly Omit<SealRow, "agent">[];
}

export class TraceDesk extends DurableObject<TraceDeskEnv> {
	readonly #store: DeskStore;
	readonly #acts: Acts;
	readonly #trust: TrustKeeper;
	readonly #signIn: SignIn;
	#last: Promise<unknown> = Promise.resolve();

	constructor(ctx: DurableObjectState, env: TraceDeskEnv) {
		super(ctx, env);
		this.#store = new DeskStore(ctx.storage.sql);
		this.#acts = new Acts(this.#store, () => env.LEDGER.getByName(OBJECT_NAMES.ledger));
		this.#trust = new TrustKeeper(this.#store, this.#acts, env);
		this.#signIn = new SignIn(this.#store, this.#acts, () => this.#trust.current.document);
	}

	/** One act after the other: each decides on what the one before wrote, and each waits for the ledger in between. */
	#inTurn<T>(act: () => Promise<T>): Promise<T> {
		const turn = this.#last.then(act, act);
		this.#last = turn.catch(() => undefined);
		return turn;
	}

	async state(): Promise<DeskState> {
		const trust = this.#trust.current.document;
		return { trust, isAwaitingOperators: trust.version === 0 };
	}

	async trustDocuments(): Promise<Uint8Array[]> {
		return this.#trust.documents();
	}

	async redeem(
		token: string,
		publicKey: Uint8Array,
		signature: Uint8Array,
	): Promise<Result<Redeemed, TrustKeeperCode>> {
		return this.#inTurn(() => this.#trust.redeem(token, publicKey, signature));
	}

	async challenge(publicKey: Uint8Array): Promise<Result<{ challenge: string; expiresAtMs: number }, SignInCode>> {
		return this.#signIn.challenge(publicKey);
	}

	async signIn(
		publicKey: Uint8Array,
		challenge: Uint8Array,
		signature: Uint8Array,
	): Promise<Result<string, SignInCode>> {
		return this.#signIn.signIn(publicKey, challenge, signature);
	}

	async session(secret: string): Promise<Result<SessionFacts, "session_missing" | "session_expired">> {
		return this.#signIn.session(secret);
	}

	async signOut(secret: string): Promise<void> {
		await this.#signIn.signOut(secret);
	}

	/** An act of another part of the Security Center, into the ledger. */
	async act(act: Act): Promise<Result<number, LedgerCode>> {
		return this.#acts.write(act);
	}

	#facts(row: CommandRow): CommandFacts {
		const envelope = decodeAs(signedEnvelopeShape, row.envelope);
		assertInvariant(envelope.ok, "a stored envelope does not read");
		const command = decodeAs(traceCommandShape, envelope.value.payload);
		assertInvariant(command.ok, "a stored command does not read");
		const signers = envelope.value.signatures.map(({ operator }) => operator);
		const { initiatedBy } = command.value;
		return {
			...row,
			command: command.value,
			payload: envelope.value.payload,
			signers: [initiatedBy, ...signers.filter((id) => id !== initiatedBy)],
			approvalsNeeded: this.#trust.current.document.traceApprovals,
		};
	}

	#judge(envelope: Uint8Array): Result<{ isApproved: boolean }, CommandCode> {
		const judged = verifyTraceCommand(envelope, {
			trust: this.#trust.current.document,
			agentId: null,
			nowMs: Date.now(),
			hasSeen: () => false,
		});
		if (judged.ok) return ok({ isApproved: true });
		// Everything else is judged before approvals except time, which the approval will meet again.
		return judged.code === "command_approval_missing" ? ok({ isApproved: false }) : judged;
	}

	/** Takes a signed command from the operator of a session. */
	async submit(operator: string, envelope: Uint8Array, hitId: number | null): Promise<Result<CommandFacts, DeskCode>> {
		return this.#inTurn(() => this.#submit(operator, envelope, hitId));
	}

	async #submit(
		operator: string,
		envelopeBytes: Uint8Array,
		hitId: number | null,
	): Promise<Result<CommandFacts, DeskCode>> {
		const envelope = decodeAs(signedEnvelopeShape, envelopeBytes);
		if (!envelope.ok) return this.#acts.refused(envelope, { actor: operator, subject: "command" });
		const decoded = decodeAs(traceCommandShape, envelope.value.payload);
		if (!decoded.ok) return this.#acts.refused(decoded, { actor: operator, subject: "command" });
		const command = decoded.value;
		const commandId = hexOf(command.commandId);
		const attempt = { actor: operator, subject: command.targetAgent, traceId: command.traceId };
		if (command.initiatedBy !== operator)
			return this.#acts.refused(fail("role_missing", "A command is submitted by who initiated it."), attempt);
		if (this.#store.command(commandId) !== null)
			return this.#acts.refused(fail("command_replayed", `Command ${commandId} is known already.`), attempt);
		const judged = this.#judge(envelopeBytes);
		if (!judged.ok) return this.#acts.refused(judged, attempt);
		if (command.act === "stop" && this.#store.commandsOfTrace(command.traceId).length === 0)
			return this.#acts.refused(fail("command_trace_unknown", `There is no trace ${command.traceId}.`), attempt);
		const written = await this.#acts.write({ kind: "trace_request", body: envelopeBytes, ...attempt });
		if (!written.ok) return written;
		this.#store.addCommand({
			commandId,
			traceId: command.traceId,
			act: command.act,
			agent: command.targetAgent,
			envelope: envelopeBytes,
			state: "awaiting_approval",
			expiresMs: command.expiresAtMs,
			hitId,
			createdMs: Date.now(),
		});
		await this.#scheduleExpiry();
		return judged.value.isApproved ? this.#send(commandId, operator) : this.#told(commandId);
	}

	/** Adds an approver's signature over the same bytes; sends the command when it is the last one needed. */
	async approve(operator: string, commandId: string, signature: Uint8Array): Promise<Result<CommandFacts, DeskCode>> {
		return this.#inTurn(() => this.#approve(operator, commandId, signature));
	}

	async #approve(operator: string, commandId: string, signature: Uint8Array): Promise<Result<CommandFacts, DeskCode>> {
		const row = this.#store.command(commandId);
		if (row === null) return fail("command_unknown", `There is no command ${commandId}.`);
		const facts = this.#facts(row);
		const attempt = { actor: operator, subject: row.agent, traceId: row.traceId };
		if (row.state !== "awaiting_approval")
			return this.#acts.refused(fail("command_not_waiting", `The command is ${row.state}.`), attempt);
		if (facts.command.initiatedBy === operator)
			return this.#acts.refused(fail("approver_is_initiator", "Nobody approves an own command."), attempt);
		if (!operatorById(this.#trust.current.document, operator)?.roles.includes("approver"))
			return this.#acts.refused(fail("role_missing", `${operator} is no approver.`), attempt);
		const envelope = decodeAs(signedEnvelopeShape, row.envelope);
		assertInvariant(envelope.ok, "a stored envelope does not read");
		const signatures = [...envelope.value.signatures, { operator, signature }];
		const approved = encodeAs(signedEnvelopeShape, { payload: facts.payload, signatures });
		const judged = this.#judge(approved);
		if (!judged.ok) return this.#acts.refused(judged, attempt);
		const written = await this.#acts.write({ kind: "trace_approval", body: approved, ...attempt });
		if (!written.ok) return written;
		this.#store.setEnvelope(commandId, approved);
		return judged.value.isApproved ? this.#send(commandId, operator) : this.#told(commandId);
	}

	/** The ledger knows of it first; then it goes to the agent's channel. */
	async #send(commandId: string, actor: string): Promise<Result<CommandFacts, DeskCode>> {
		const row = this.#store.command(commandId);
		assertInvariant(row, "a command vanished");
		const { envelope, agent, traceId, expiresMs } = row;
		const written = await this.#acts.write({ kind: "trace_start", actor, subject: agent, traceId, body: envelope });
		if (!written.ok) return written;
		const queued = await this.env.AGENT_CHANNEL.getByName(agent).enqueueCommand(agent, {
			commandId: Uint8Array.from(this.#facts(row).command.commandId),
			envelope,
			expiresAtMs: expiresMs,
		});
		const nowMs = Date.now();
		if (queued.ok) this.#store.setSent(commandId, nowMs);
		else this.#store.setAnswered(commandId, { state: "refused", cause: queued.code, nowMs });
		return this.#told(commandId);
	}

	async #told(commandId: string): Promise<Result<CommandFacts, DeskCode>> {
		const row = this.#store.command(commandId);
		assertInvariant(row, "a command vanished");
		await this.#notify([row.traceId]);
		return ok(this.#facts(row));
	}

	async #notify(traceIds: readonly string[]): Promise<void> {
		const notes = [...new Set(traceIds)].map((id) => JSON.stringify({ kind: "trace", id }));
		await this.env.FEED.getByName(OBJECT_NAMES.feed).publish(notes);
	}

	/** Answers and seals from a stored alert batch; may be told again. */
	async observe(news: AgentNews): Promise<void> {
		await this.#inTurn(() => this.#observe(news));
	}

	async #observe(news: AgentNews): Promise<void> {
		const nowMs = Date.now();
		const touched: string[] = [];
		for (const { commandId, isAccepted, cause } of news.answers) {
			const row = this.#store.command(commandId);
			// An agent answers for itself only.
			if (row === null || row.agent !== news.agent) continue;
			this.#store.setAnswered(commandId, { state: isAccepted ? "accepted" : "refused", cause, nowMs });
			touched.push(row.traceId);
		}
		for (const seal of news.seals) {
			const known = this.#store.seals(seal.traceId);
			if (known.some(({ agent, timeMs }) => agent === news.agent && timeMs === seal.timeMs)) continue;
			const body = utf8(JSON.stringify({ agent: news.agent, ...seal }));
			const written = await this.#acts.write({
				kind: "trace_seal",
				actor: news.agent,
				subject: news.agent,
				traceId: seal.traceId,
				body,
			});
			if (!written.ok) throw new Error(`a seal is not in the ledger: ${written.detail}`);
			this.#store.addSeal({ ...seal, agent: news.agent });
			touched.push(seal.traceId);
		}
		if (touched.length > 0) await this.#notify(touched);
	}

	async commands(): Promise<CommandFacts[]> {
		return this.#store.commands(DESK_LIMITS.commandsListed).map((row) => this.#facts(row));
	}

	async trace(traceId: string): Promise<{ commands: CommandFacts[]; seals: SealRow[] }> {
		const commands = this.#store.commandsOfTrace(traceId).map((row) => this.#facts(row));
		return { commands, seals: this.#store.seals(traceId) };
	}

	async seals(traceIds: readonly string[]): Promise<SealRow[]> {
		return traceIds.flatMap((traceId) => this.#store.seals(traceId));
	}

	async actsOfTrace(traceId: string): Promise<ActRow[]> {
		return this.#store.actsOfTrace(traceId);
	}

	async #scheduleExpiry(): Promise<void> {
		const next = this.#store.nextExpiryMs();
		if (next !== null) await this.ctx.storage.setAlarm(next + DESK_LIMITS.answerGraceMs);
	}

	override async alarm(): Promise<void> {
		const expired = this.#store.expireCommands(Date.now(), DESK_LIMITS.answerGraceMs);
		if (expired.length > 0) await this.#notify(expired);
		await this.#scheduleExpiry();
	}
}
