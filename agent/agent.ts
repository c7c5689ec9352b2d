/**
 * The agent in one way of data: frames → process table → events → masks → lanes → outbox → link, and commands back. It owns
 * what runs and in which order it stops. Guarantees: capture goes on whatever the link does; nothing is stored before it is
 * masked; at the end every trace is sealed and everything in memory is on disk.
 */
import { randomBytes } from "node:crypto";
import { isIPv4 } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import type { Duplex } from "node:stream";
import { lossyTextOf } from "#core/bytes/bytes.ts";
import type { AgentStatus } from "#core/identity/hello.ts";
import type { Lane } from "#core/model/batch.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { policyOf } from "#core/trust/capture-policy.ts";
import { Collector } from "./capture/collector.ts";
import { type CaptureFrame, tagBigint, tagBytes, tagColumn } from "./capture/frame.ts";
import type { TagName } from "./capture/layout.ts";
import { LossTracker, type LostRange } from "./capture/loss.ts";
import { ReorderWindow } from "./capture/reorder.ts";
import { HostClock } from "./clock.ts";
import type { AgentConfig } from "./config/config.ts";
import type { LoadedIdentity } from "./config/identity.ts";
import type { DataDir } from "./data-dir.ts";
import type { SealedDisk } from "./disk-key/disk-key.ts";
import type { SealedFile } from "./disk-key/sealed-files.ts";
import { baselineLane, isAlert, isRefusedToUser } from "./events/baseline.ts";
import { agentEvent, countGap, cpuGap, cutText, type EventDraft } from "./events/draft.ts";
import { fidelityDrafts } from "./events/sensor.ts";
import { type EventFrame, isEventFrame, translate } from "./events/translate.ts";
import { AGENT_LIMITS } from "./limits.ts";
import { LedgerMemory } from "./link/ledger-memory.ts";
import { Link } from "./link/link.ts";
import type { Log } from "./log.ts";
import { LookBack } from "./lookback/look-back.ts";
import { Outbox } from "./outbox/outbox.ts";
import { directoryStorage, type SegmentStorage } from "./outbox/storage.ts";
import { isMaskingInForce } from "./privacy/mask.ts";
import { ProcessTable } from "./process-table/process-table.ts";
import { TableLosses } from "./process-table/table-losses.ts";
import { Lanes } from "./stream/lanes.ts";
import { RateCap } from "./stream/rate-cap.ts";
import { activeTracesFile, readActiveTraces, writeActiveTraces } from "./trace/active-traces.ts";
import { Commands } from "./trace/commands.ts";
import { SeenCommands } from "./trace/seen-commands.ts";
import { type TraceEnd, Traces } from "./trace/traces.ts";
import type { TrustStore } from "./trust-store.ts";

export const SOFTWARE_VERSION = "0.1.0";

/** Said at every start, so that who judges a seized disk knows that its key lay beside it. */
const DISK_KEY_ON_DISK = "disk key: file of mode 0600";

export interface AgentParts {
	readonly config: AgentConfig;
	readonly identity: LoadedIdentity;
	readonly dataDir: DataDir;
	readonly disk: SealedDisk;
	readonly trust: TrustStore;
	readonly log: Log;
	readonly socket: Duplex;
	/** The process ends; one sentence why. */
	readonly onFatal: (kind: "capture" | "fault", error: Error) => void;
	/** For tests that need a disk that fails. */
	readonly storage?: SegmentStorage;
}

function after(ms: number, task: () => void): () => void {
	const timer = setTimeout(task, ms);
	return () => clearTimeout(timer);
}

/** CLOCK_BOOTTIME is behind no call of Node's; until procmond's first pair the monotonic clock is near enough. */
function createClock(): HostClock {
	return new HostClock({
		wallMs: () => Date.now(),
		bootNs: () => process.hrtime.bigint(),
		monotonicMs: () => performance.now(),
	});
}

function hostAddresses(): Uint8Array[] {
	const addresses: Uint8Array[] = [];
	for (const all of Object.values(networkInterfaces())) {
		for (const { address, internal } of all ?? []) {
			if (internal || !isIPv4(address)) continue;
			addresses.push(Uint8Array.from(address.split(".").map(Number)));
		}
	}
	return addresses.slice(0, 64);
}

export class Agent {
	readonly #parts: AgentParts;
	readonly #clock = createClock();
	readonly #loss = new LossTracker();
	readonly #lookBack: LookBack;
	readonly #rate: RateCap;
	readonly #alertRate: RateCap;
	readonly #refusedRate: RateCap;
	readonly #window = new ReorderWindow(
		{ windowMs: AGENT_LIMITS.reorderWindowMs, framesMax: AGENT_LIMITS.reorderFramesMax },
		(frame, isLate) => this.#inOrder(frame, isLate),
	);
	readonly #outbox: Outbox;
	readonly #ledger: LedgerMemory;
	readonly #lanes: Lanes;
	readonly #traces: Traces;
	readonly #link: Link;
	readonly #commands: Commands;
	readonly #collector: Collector;
	readonly #timers: NodeJS.Timeout[] = [];
	readonly #activeTraces: SealedFile;
	#table: ProcessTable | null = null;
	readonly #tableLosses = new TableLosses();
	#misses = 0n;
	#source = { tier: "none", missing: "", cause: "the collector has not reported yet" };
	#isStopped = false;
	#isWindowAwaited = false;
	#isLinkStarted = false;
	#unaskedEvents = 0;

	/** Opens the outbox and starts everything. Throws `DiskFailure` when the disk cannot be believed. */
	constructor(parts: AgentParts) {
		this.#parts = parts;
		const { config, identity, dataDir, disk, trust, log } = parts;
		this.#activeTraces = activeTracesFile(disk.files);
		const found = readActiveTraces(this.#activeTraces, log);
		this.#outbox = new Outbox(parts.storage ?? directoryStorage(dataDir.outboxPath), {
			bytesMax: config.outboxBytesMax,
			disk: disk.seal,
			randomBytes: (length) => new Uint8Array(randomBytes(length)),
			nowMs: () => Date.now(),
			log,
		});
		this.#ledger = LedgerMemory.open(disk.files, log);
		this.#lookBack = new LookBack(config.lookBack);
		this.#rate = new RateCap(config.eventsPerSecMax, this.#clock.monotonicMs());
		this.#alertRate = new RateCap(AGENT_LIMITS.tamperEventsPerSecMax, this.#clock.monotonicMs());
		this.#refusedRate = new RateCap(AGENT_LIMITS.refusedTamperEventsPerSecMax, this.#clock.monotonicMs());
		this.#lanes = new Lanes({
			outbox: this.#outbox,
			agent: identity.link.agent,
			seed: identity.link.seed,
			clock: this.#clock,
			log,
			...config.stream,
			schedule: (ms, task) => after(ms, () => this.#guard(task)),
			onHeld: () => this.#link.pump(),
			isBehind: () => this.#link.isBehind,
			onEncoded: (draft, encoded) => this.#lookBack.note(draft, encoded, this.#clock.monotonicMs()),
			onStored: (traceId, byteCount) => this.#traces.countStored(traceId, byteCount),
		});
		this.#link = this.#createLink();
		this.#traces = new Traces({
			clock: this.#clock,
			caps: config.trace.caps,
			lookBack: this.#lookBack,
			emit: (draft) => this.#lanes.add("trace", draft),
			removeSlot: (slot) => this.#collector.removeSlot(slot),
			onChange: () =>
				writeActiveTraces(
					this.#activeTraces,
					this.#traces.running().map((trace) => trace.traceId),
					log,
				),
		});
		this.#commands = new Commands({
			agentId: identity.link.agent,
			clock: this.#clock,
			log,
			seen: SeenCommands.open(disk.files),
			traces: this.#traces,
			trust: () => trust.document,
			table: () => this.#table,
			defaultDepth: config.trace.defaultDepth,
			addSlot: (root) => this.#collector.addSlot(root),
			emit: (answer) => this.#lanes.add("alert", answer),
			settle: () => {
				this.#window.flush();
				this.#lanes.flush();
			},
		});
		this.#collector = new Collector(parts.socket, {
			config: config.capture,
			policy: policyOf(trust.document),
			log,
			onFrame: (frame) => this.#guard(() => this.#take(frame)),
			onEnd: (code, sentence) => this.#collectorEnded(code, sentence),
		});
		this.#guard(() => this.#begin(found));
	}

	#begin(foundTraces: readonly string[]): void {
		const { log } = this.#parts;
		this.#lanes.repair();
		this.#outbox.prepare();
		for (const traceId of foundTraces) {
			const seal = agentEvent(this.#clock, "trace_seal", { cause: "agent_restarted" satisfies TraceEnd });
			this.#lanes.add("trace", { ...seal, traceId });
		}
		this.#lanes.flush();
		// At every start, so that the file is there before the first trace.
		writeActiveTraces(this.#activeTraces, [], log);
		this.#every(250, () => this.#tellLoss(this.#loss.tick(this.#clock.monotonicMs())));
		this.#every(AGENT_LIMITS.rateGapMs, () => this.#tellCounts());
		this.#every(1000, () => this.#traces.tick());
		this.#every(AGENT_LIMITS.heartbeatMs, () => this.#link.heartbeat());
		this.#every(AGENT_LIMITS.ackPersistMs, () => {
			this.#outbox.persistMarks();
			this.#ledger.persist();
		});
		// The hello names the tier, so it waits for the collector's word, but not for ever: the outbox may hold a backlog.
		after(AGENT_LIMITS.collectorWaitMs, () => this.#startLink());
	}

	#startLink(): void {
		if (this.#isLinkStarted || this.#isStopped) return;
		this.#isLinkStarted = true;
		this.#link.start();
	}

	#every(ms: number, task: () => void): void {
		this.#timers.push(setInterval(() => this.#guard(task), ms));
	}

	/** Whatever breaks in a handler stops the process: a half-done step must not be built on. */
	#guard(task: () => void): void {
		try {
			task();
		} catch (error) {
			this.#parts.onFatal("fault", error as Error);
		}
	}

	#createLink(): Link {
		const { config, identity, trust, log } = this.#parts;
		return new Link({
			targets: config.targets,
			parentTimes: config.parentTimes,
			tls: identity.tls,
			identity: identity.link,
			outbox: this.#outbox,
			ledger: this.#ledger,
			log,
			nowMs: () => Date.now(),
			monotonicMs: () => this.#clock.monotonicMs(),
			random: () => randomBytes(4).readUInt32LE() / 2 ** 32,
			trust: () => trust.document,
			status: () => this.#status(),
			health: () => this.#health(),
			onTrust: (documents) => {
				if (trust.take(documents)) this.#collector.setPolicy(policyOf(trust.document));
			},
			onCommand: (envelope) => {
				this.#commands.handle(envelope).catch((error: Error) => this.#parts.onFatal("fault", error));
			},
			reseal: (chain, from, cause) => this.#guard(() => this.#lanes.reseal(chain, from, cause)),
			disown: (stream, from) => this.#guard(() => this.#lanes.disown(stream, from)),
			onFatal: (error) => this.#parts.onFatal("fault", error as Error),
		});
	}

	#status(): AgentStatus {
		const { tier, missing, cause } = this.#source;
		return {
			hostName: cutText(hostname(), 255),
			tier,
			missing: cutText(missing, 2000),
			siteTag: this.#parts.config.siteTag,
			softwareVersion: SOFTWARE_VERSION,
			addresses: hostAddresses(),
			cause: cutText(cause, 500),
		};
	}

	#health() {
		const oldestMs = this.#outbox.oldestUnfreedMs();
		const nowMs = Date.now();
		return {
			timeMs: nowMs,
			outboxBytes: this.#outbox.bytes,
			oldestUnackedMs: oldestMs === null ? 0 : Math.max(0, nowMs - oldestMs),
			rssBytes: process.memoryUsage.rss(),
			eventCount: this.#lanes.eventCount,
			gapCount: this.#lanes.gapCount,
		};
	}

	#take(frame: CaptureFrame): void {
		const nowMs = this.#clock.monotonicMs();
		// Loss is judged by what arrived, order by when it happened.
		if (frame.cpuSeq > 0n) {
			if (frame.cpu >= AGENT_LIMITS.cpusMax) this.#parts.log("frame_cpu_unknown", { cpu: frame.cpu });
			else this.#tellLoss(this.#loss.saw(frame.cpu, frame.cpuSeq, nowMs));
		}
		this.#window.take(frame, nowMs);
		this.#awaitWindow();
	}

	/** A timer only while frames wait: an idle host is not woken a hundred times a second. */
	#awaitWindow(): void {
		if (this.#isWindowAwaited || this.#window.size === 0 || this.#isStopped) return;
		this.#isWindowAwaited = true;
		after(AGENT_LIMITS.reorderWindowMs / 2, () => {
			this.#isWindowAwaited = false;
			if (this.#isStopped) return;
			this.#guard(() => this.#window.tick(this.#clock.monotonicMs()));
			this.#awaitWindow();
		});
	}

	#inOrder(frame: CaptureFrame, isLate: boolean): void {
		if (frame.kind === "ready") this.#ready(frame);
		else if (frame.kind === "stats") this.#stats(frame);
		else if (frame.kind === "snapshot_end") this.#table?.endSnapshot();
		else if (frame.kind === "cgroup") this.#cgroup(frame);
		else if (frame.kind === "fidelity") this.#fidelity(frame);
		else if (isEventFrame(frame)) this.#event(frame, isLate);
	}

	#setPair(frame: CaptureFrame): void {
		const wallNs = tagBigint(frame, "WALL_NS");
		if (wallNs !== undefined) this.#clock.setPair(wallNs, frame.ktimeNs);
	}

	#ready(frame: CaptureFrame): void {
		this.#setPair(frame);
		const text = (name: TagName) => lossyTextOf(tagBytes(frame, name) ?? new Uint8Array(0));
		this.#table ??= new ProcessTable({ machineId: text("MACHINE_ID").trim(), bootId: text("BOOT_ID").trim() });
		const missing = text("MISSING");
		const cause = text("CAUSE");
		this.#source = { tier: frame.tier, missing, cause };
		this.#parts.log("collector_ready", { tier: frame.tier, missing });
		const isKeyOnDisk = this.#parts.disk.keySource === "file";
		const causes = [cause, isKeyOnDisk ? DISK_KEY_ON_DISK : ""].filter((each) => each !== "").join("; ");
		const event = agentEvent(this.#clock, "source", {
			programs: cutText(text("PROGRAMS"), 2000),
			missing: cutText(missing, 2000),
			...(causes === "" ? {} : { cause: cutText(causes, 500) }),
		});
		this.#lanes.add("alert", { ...event, tier: frame.tier });
		this.#startLink();
	}

	#stats(frame: CaptureFrame): void {
		this.#setPair(frame);
		const heads = tagColumn(frame, "CPU_HEADS").slice(0, AGENT_LIMITS.cpusMax);
		this.#loss.stats(heads, tagColumn(frame, "CPU_DROPS"), this.#clock.monotonicMs());
		const misses = tagBigint(frame, "MISSES") ?? 0n;
		if (misses <= this.#misses) return;
		// Runs of a program that the kernel skipped: they took no number, so only their count can be told.
		this.#gap(countGap(this.#clock, { count: Number(misses - this.#misses), cause: "kernel_skipped", agoMs: 1000 }));
		this.#misses = misses;
	}

	#cgroup(frame: CaptureFrame): void {
		const path = lossyTextOf(tagBytes(frame, "CGROUP_PATH") ?? new Uint8Array(0));
		if (path !== "") this.#table?.cgroups.learn(frame.cgroupId, cutText(path, MODEL_LIMITS.pathLengthMax));
	}

	#fidelity(frame: CaptureFrame): void {
		const { fidelity, gaps } = fidelityDrafts(frame, this.#clock);
		this.#lanes.add("alert", fidelity);
		for (const gap of gaps) this.#gap(gap);
	}

	#tellLoss(lost: readonly LostRange[]): void {
		for (const range of lost) this.#gap(cpuGap(this.#clock, range));
	}

	#gap(draft: EventDraft): void {
		this.#lanes.add("alert", draft);
		this.#traces.countGap();
	}

	#event(frame: EventFrame, isLate: boolean): void {
		if (this.#table === null) {
			this.#parts.log("frame_before_ready");
			return;
		}
		const { config, trust } = this.#parts;
		const observed = translate(frame, {
			table: this.#table,
			clock: this.#clock,
			isMasked: isMaskingInForce(config.trace, trust.document),
			policy: policyOf(trust.document),
		});
		const { entry, isLineageNews, isRepeated } = observed;
		const draft = isLate ? { ...observed.draft, payload: { ...observed.draft.payload, isLate: true } } : observed.draft;
		if (isLineageNews && entry !== null) this.#traces.inherit(entry);
		if (isRepeated) return;
		// In the trace lane or in the baseline, never in both: one event is told once.
		if (entry !== null && !isAlert(draft.kind) && this.#traces.route(entry, draft)) return;
		const lane = baselineLane(draft);
		if (lane === null) this.#unaskedEvents++;
		else if (this.#rateOf(lane, draft).admits(draft.kind, this.#clock.monotonicMs())) this.#lanes.add(lane, draft);
	}

	/**
	 * The alert lane is shed last, so what others can make appear in it has a ceiling of its own; and what any user can make
	 * appear has another, so that it never takes the place of an act that succeeded.
	 */
	#rateOf(lane: Lane, draft: EventDraft): RateCap {
		if (lane !== "alert") return this.#rate;
		return isRefusedToUser(draft) ? this.#refusedRate : this.#alertRate;
	}

	/** What was given up by count since the last call: by the ceilings, and by the process table. */
	#tellCounts(): void {
		for (const lost of this.#table === null ? [] : this.#tableLosses.take(this.#table))
			this.#gap(countGap(this.#clock, { ...lost, agoMs: AGENT_LIMITS.rateGapMs }));
		const ceilings = { rate_limit: this.#rate, alert_limit: this.#alertRate, refused_limit: this.#refusedRate };
		for (const [name, rate] of Object.entries(ceilings)) {
			const refused = rate.takeRefused(this.#clock.monotonicMs());
			if (refused === null) continue;
			const { count, text, agoMs } = refused;
			this.#gap(countGap(this.#clock, { count, cause: `${name}: ${text}`, agoMs }));
		}
	}

	#collectorEnded(code: string, sentence: string): void {
		if (this.#isStopped) return;
		this.#parts.log(code);
		this.#guard(() => {
			this.#window.flush();
			this.#traces.endAll("collector_lost");
		});
		this.#parts.onFatal("capture", new Error(sentence));
	}

	/** Seals, stores and closes. The process may end when this returns. Throws `DiskFailure`. */
	stop(cause: Extract<TraceEnd, "agent_stopped" | "collector_lost">): void {
		if (this.#isStopped) return;
		this.#isStopped = true;
		for (const timer of this.#timers) clearInterval(timer);
		this.#window.flush();
		this.#tellCounts();
		this.#traces.endAll(cause);
		this.#lanes.flush();
		this.#lanes.stop();
		this.#link.stop();
		this.#collector.stop();
		this.#outbox.stop();
		this.#ledger.persist();
		if (this.#unaskedEvents > 0) this.#parts.log("events_unasked", { count: this.#unaskedEvents });
	}
}
