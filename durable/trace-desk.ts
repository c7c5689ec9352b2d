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
import { logLine } from "./log.ts";
import { DESK_LIMITS, OBJECT_NAMES } from "./sc-objects.ts";
import { type SessionFacts, SignIn, type SignInCode } from "./sign-in.ts";
import { type Redeemed, TrustKeeper, type TrustKeeperCode, type TrustKeeperEnv } from "./trust-keeper.ts";
import { Turns } from "./turns.ts";

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
	| "agent_unknown"
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

/** What the route knows of a submitted command that the desk cannot. */
export interface Submitted {
	/** The hit that led to it. */
	readonly hitId: number | null;
	/** The store has heard of the agent it is for. */
	readonly isAgentKnown: boolean;
}

/** What an agent's alert lane says about commands and traces. */
export interface AgentNews {
	readonly agent: string;
	readonly answers: readonly { commandId: string; isAccepted: boolean; cause: string }[];
	readonly seals: readonly Omit<SealRow, "agent">[];
}

/** What an agent's news taught; `sealsIgnored` were none that a start sent to it accounts for. */
export interface NewsTaken {
	readonly sealsIgnored: number;
}

/** How traces that an agent names stand: started there by a command, or known from elsewhere only. */
export interface NamedTraces {
	readonly started: readonly string[];
	readonly elsewhere: readonly string[];
}

export class TraceDesk extends DurableObject<TraceDeskEnv> {
	readonly #store: DeskStore;
	readonly #acts: Acts;
	readonly #trust: TrustKeeper;
	readonly #signIn: SignIn;
	/** Acts of people, and news of agents: no agent may make an operator wait. */
	readonly #people = new Turns();
	readonly #news = new Turns();

	constructor(ctx: DurableObjectState, env: TraceDeskEnv) {
		super(ctx, env);
		this.#store = new DeskStore(ctx.storage.sql);
		this.#acts = new Acts(this.#store, () => env.LEDGER.getByName(OBJECT_NAMES.ledger));
		this.#trust = new TrustKeeper(this.#store, this.#acts, env);
		this.#signIn = new SignIn(this.#store, this.#acts, () => this.#trust.current.document);
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
		return this.#people.take(() => this.#trust.redeem(token, publicKey, signature));
	}

	async challenge(publicKey: Uint8Array): Promise<{ challenge: string; expiresAtMs: number }> {
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

	async aliveSessions(sessions: readonly string[]): Promise<readonly string[]> {
		return this.#signIn.aliveSessions(sessions);
	}

	async signOut(secret: string): Promise<void> {
		const session = this.#signIn.signOut(secret);
		try {
			await this.env.FEED.getByName(OBJECT_NAMES.feed).endSession(session);
		} catch (error) {
			// The session has ended all the same, and the feed's next heartbeat finds out.
			logLine("warning", "feed_not_told", { detail: (error as Error).message });
		}
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
	async submit(operator: string, envelope: Uint8Array, about: Submitted): Promise<Result<CommandFacts, DeskCode>> {
		return this.#people.take(() => this.#submit(operator, envelope, about));
	}

	async #submit(
		operator: string,
		envelopeBytes: Uint8Array,
		{ hitId, isAgentKnown }: Submitted,
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
		// Addressing an agent's channel makes it; a name that nobody enrolled must not.
		if (!isAgentKnown)
			return this.#acts.refused(fail("agent_unknown", `There is no agent ${command.targetAgent}.`), attempt);
		if (command.act === "stop" && !this.#isStartedAt(command.traceId, command.targetAgent))
			return this.#acts.refused(
				fail("command_trace_unknown", `There is no trace ${command.traceId} on ${command.targetAgent}.`),
				attempt,
			);
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

	#isStartedAt(traceId: string, target: string): boolean {
		return this.#store.commandsOfTrace(traceId).some(({ act, agent }) => act === "start" && agent === target);
	}

	/** Adds an approver's signature over the same bytes; sends the command when it is the last one needed. */
	async approve(operator: string, commandId: string, signature: Uint8Array): Promise<Result<CommandFacts, DeskCode>> {
		return this.#people.take(() => this.#approve(operator, commandId, signature));
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

	/** The ledger knows of it first, then this desk, so that the agent's first event finds it here; then the agent's channel. */
	async #send(commandId: string, actor: string): Promise<Result<CommandFacts, DeskCode>> {
		const row = this.#store.command(commandId);
		assertInvariant(row, "a command vanished");
		const { envelope, agent, traceId, expiresMs } = row;
		const written = await this.#acts.write({ kind: "trace_start", actor, subject: agent, traceId, body: envelope });
		if (!written.ok) return written;
		this.#store.setSent(commandId, Date.now());
		const queued = await this.env.AGENT_CHANNEL.getByName(agent).enqueueCommand(agent, {
			commandId: Uint8Array.from(this.#facts(row).command.commandId),
			envelope,
			expiresAtMs: expiresMs,
		});
		if (!queued.ok) this.#store.setUnsent(commandId, queued.code, Date.now());
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

	/** How the traces that an agent's events name stand. What was never sent to an agent cannot be its answer to anything. */
	async tracesOf(agent: string, traceIds: readonly string[]): Promise<NamedTraces> {
		const started = this.#store.startsSent(agent, traceIds);
		const others = traceIds.filter((id) => !started.has(id));
		return {
			started: [...started.keys()],
			elsewhere: others.filter((id) => this.#store.commandsOfTrace(id).length > 0),
		};
	}

	/** Answers and seals from stored batches; may be told again. */
	async observe(news: AgentNews): Promise<NewsTaken> {
		return this.#news.take(() => this.#observe(news));
	}

	/** Seals that are news, one at most for each start sent to the agent: nothing else ends there. */
	#expectedSeals(news: AgentNews): { seals: SealRow[]; sealsIgnored: number } {
		const starts = this.#store.startsSent(news.agent, [...new Set(news.seals.map(({ traceId }) => traceId))]);
		const seals: SealRow[] = [];
		let sealsIgnored = 0;
		for (const [traceId, most] of starts) {
			const known = this.#store.seals(traceId).filter(({ agent }) => agent === news.agent);
			const times = new Set(known.map(({ timeMs }) => timeMs));
			for (const seal of news.seals) {
				if (seal.traceId !== traceId || times.has(seal.timeMs)) continue;
				if (times.size < most) {
					times.add(seal.timeMs);
					seals.push({ agent: news.agent, ...seal });
				} else sealsIgnored++;
			}
		}
		const sealsUnstarted = news.seals.filter(({ traceId }) => !starts.has(traceId)).length;
		return { seals, sealsIgnored: sealsIgnored + sealsUnstarted };
	}

	async #observe(news: AgentNews): Promise<NewsTaken> {
		const nowMs = Date.now();
		const touched: string[] = [];
		for (const { commandId, isAccepted, cause } of news.answers) {
			const row = this.#store.command(commandId);
			// An agent answers for itself only.
			if (row === null || row.agent !== news.agent) continue;
			const state = isAccepted ? "accepted" : "refused";
			if (this.#store.setAnswered(commandId, { state, cause, nowMs })) touched.push(row.traceId);
		}
		const { seals, sealsIgnored } = this.#expectedSeals(news);
		const written = await this.#acts.writeAll(
			seals.map((seal) => ({
				kind: "trace_seal",
				actor: seal.agent,
				subject: seal.agent,
				traceId: seal.traceId,
				body: utf8(JSON.stringify(seal)),
			})),
		);
		if (!written.ok) throw new Error(`seals are not in the ledger: ${written.detail}`);
		for (const seal of seals) {
			this.#store.addSeal(seal);
			touched.push(seal.traceId);
		}
		if (touched.length > 0) await this.#notify(touched);
		return { sealsIgnored };
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
