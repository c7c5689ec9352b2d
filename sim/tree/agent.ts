/**
 * An agent's machine: the real outbox, lanes, sender and link, wired and timed as `agent/agent.ts` does it, with events from the
 * world instead of a collector. It starts, is killed at any call of its disk, and starts again from what the disk kept.
 */
import { hexOf } from "#core/bytes/bytes.ts";
import type { Lane } from "#core/model/batch.ts";
import { ZERO_PROCESS } from "#core/model/event.ts";
import { DEFAULT_PARENT_TIMES } from "#core/protocol/index.ts";
import { ok } from "#core/result.ts";
import type { TrustDocument } from "#core/trust/trust-document.ts";
import { HostClock } from "../../agent/clock.ts";
import { DiskSeal } from "../../agent/disk-key/disk-seal.ts";
import type { SealedFiles } from "../../agent/disk-key/sealed-files.ts";
import { AGENT_LIMITS } from "../../agent/limits.ts";
import { LedgerMemory } from "../../agent/link/ledger-memory.ts";
import { Link } from "../../agent/link/link.ts";
import type { Log } from "../../agent/log.ts";
import { Outbox } from "../../agent/outbox/outbox.ts";
import { Lanes } from "../../agent/stream/lanes.ts";
import { attachNetwork } from "../runtime/agent-socket.ts";
import type { Machine, Network } from "../runtime/network.ts";
import { Random } from "../runtime/random.ts";
import { SegmentDisk } from "../runtime/segment-disk.ts";
import type { Place, World } from "../runtime/world.ts";
import type { Enclave, Identity } from "./enclave.ts";

/** What the checks want to know of an agent. */
export interface AgentWatch {
	/** A batch is in the outbox and synced: A0. */
	readonly onHeld: (agent: string, stream: string, seq: number, lane: Lane, bytes: Uint8Array) => void;
	/** The agent believes that a batch has reached a level: what its marks say after whatever it just did. */
	readonly onAcked: (agent: string, stream: string, level: "a1" | "a2", seq: number) => void;
	/** Its disk was replaced by an older image: what only the newer one knew is nobody's knowledge. */
	readonly onRestored: (agent: string) => void;
	/** Its numbers have come this far in a stream. */
	readonly onHead: (agent: string, stream: string, head: number) => void;
}

export interface AgentParts {
	readonly world: World;
	readonly network: Network;
	readonly enclave: Enclave;
	readonly identity: Identity;
	readonly proxy: string;
	readonly watch: AgentWatch;
	readonly outboxBytesMax: number;
}

const DISK = new DiskSeal(new Uint8Array(32).fill(9));

interface Running {
	readonly place: Place;
	readonly outbox: Outbox;
	readonly lanes: Lanes;
	readonly link: Link;
}

export class AgentMachine implements Machine {
	readonly name: string;
	readonly disk: SegmentDisk;
	readonly #parts: AgentParts;
	#running: Running | null = null;
	#seen = new Map<string, { head: number; a1: number; a2: number }>();
	/** The one small file: which signed tree was seen last. */
	#ledgerSeen: Uint8Array | null = null;
	isPowered = true;
	/** Its disk was replaced by an older image of itself. */
	wasRestored = false;
	offsetMs = 0;
	attempted = 0;
	#nextPid = 1;

	constructor(parts: AgentParts) {
		this.#parts = parts;
		this.name = parts.identity.id;
		this.disk = new SegmentDisk(new Random(parts.world.seed, `disk ${this.name}`));
		this.disk.onPowerLoss = () => this.kill(true);
		parts.network.add(this);
	}

	readonly server = (): Place | null => null;

	answer(): never {
		throw new Error("nobody dials an agent");
	}

	get isUp(): boolean {
		return this.#running !== null;
	}

	get outbox(): Outbox | null {
		return this.#running?.outbox ?? null;
	}

	get isLinkUp(): boolean {
		return this.#running?.link.isUp ?? false;
	}

	/** Starts the process in a turn of its own; a start that the disk breaks is tried again. */
	start(): void {
		if (this.#running !== null) return;
		const { world, network } = this.#parts;
		world.trace(`start ${this.name}`);
		this.isPowered = true;
		const place: Place = {
			name: this.name,
			isAlive: true,
			clockOffsetMs: () => this.offsetMs,
			onError: (error) => this.#fatal(place, error),
			afterTurn: () => this.#look(),
		};
		attachNetwork(place, network, this.name);
		world.schedule(place, 0, () => this.#begin(place));
	}

	#fatal(place: Place, error: unknown): void {
		if (!place.isAlive) return;
		this.#parts.world.trace(`fatal ${this.name}`);
		this.#parts.world.log(`fatal: ${(error as Error).message}`);
		place.isAlive = false;
		this.kill(false);
		// Its unit starts it again.
		this.#parts.world.schedule(null, 1000, () => this.start());
	}

	#begin(place: Place): void {
		const { world, identity } = this.#parts;
		const log: Log = (code: string, fields: object = {}) => world.log(`${code} ${JSON.stringify(fields)}`);
		const clock = new HostClock({
			wallMs: () => Date.now(),
			bootNs: () => BigInt(Math.floor(world.nowMs * 1e6)),
			monotonicMs: () => performance.now(),
		});
		const outbox = new Outbox(this.disk, {
			bytesMax: this.#parts.outboxBytesMax,
			disk: DISK,
			randomBytes: (length) => world.random.bytes(length),
			nowMs: () => Date.now(),
			log,
		});
		const ledger = LedgerMemory.open(this.#files(), log);
		let link: Link | null = null;
		const guard = (task: () => void) => {
			try {
				task();
			} catch (error) {
				this.#fatal(place, error);
			}
		};
		const lanes = new Lanes({
			outbox,
			agent: identity.id,
			seed: identity.seed,
			clock,
			log,
			batchMaxEvents: 8,
			batchMaxMs: 250,
			schedule: (ms, task) => {
				const timer = setTimeout(() => guard(task), ms);
				return () => clearTimeout(timer);
			},
			onHeld: () => {
				this.#look();
				link?.pump();
			},
		});
		link = this.#link({ place, outbox, ledger, lanes, log, guard });
		this.#seen = new Map();
		this.#running = { place, outbox, lanes, link };
		lanes.repair();
		outbox.prepare();
		lanes.flush();
		setInterval(() => guard(() => link.heartbeat()), AGENT_LIMITS.heartbeatMs);
		setInterval(
			() =>
				guard(() => {
					outbox.persistMarks();
					ledger.persist();
				}),
			AGENT_LIMITS.ackPersistMs,
		);
		link.start();
	}

	#link(parts: {
		place: Place;
		outbox: Outbox;
		ledger: LedgerMemory;
		lanes: Lanes;
		log: Log;
		guard: (task: () => void) => void;
	}): Link {
		const { world, identity, enclave } = this.#parts;
		const { place, outbox, ledger, lanes, log, guard } = parts;
		const trust = (): TrustDocument => enclave.genesis.document;
		return new Link({
			targets: [{ host: this.#parts.proxy, port: 443 }],
			parentTimes: DEFAULT_PARENT_TIMES,
			tls: { ca: "", cert: "", key: "" },
			identity: { agent: identity.id, enclave: trust().enclave, root: enclave.root, proxies: null, ...identity },
			outbox,
			ledger,
			log,
			nowMs: () => Date.now(),
			monotonicMs: () => performance.now(),
			random: () => world.random.fraction(),
			trust,
			status: () => ({
				hostName: identity.id,
				tier: "ebpf",
				missing: "",
				siteTag: "sim",
				softwareVersion: "0",
				addresses: [],
				cause: "",
			}),
			health: () => ({
				timeMs: Date.now(),
				outboxBytes: outbox.bytes,
				oldestUnackedMs: 0,
				rssBytes: 0,
				eventCount: lanes.eventCount,
				gapCount: lanes.gapCount,
			}),
			onTrust: () => undefined,
			onCommand: () => undefined,
			reseal: (chain, from, cause) => guard(() => lanes.reseal(chain, from, cause)),
			disown: (stream, from) => guard(() => lanes.disown(stream, from)),
			onFatal: (error) => this.#fatal(place, error),
		});
	}

	#files(): SealedFiles {
		const file = {
			read: () => ok(this.#ledgerSeen),
			write: (content: Uint8Array) => {
				this.#ledgerSeen = content.slice();
			},
		};
		return { file: () => file } as unknown as SealedFiles;
	}

	/** One event of the host into a lane. */
	add(lane: Lane, text: string): void {
		const { world } = this.#parts;
		const running = this.#running;
		this.attempted++;
		const pid = this.#nextPid++;
		if (running === null) return;
		world.enter(running.place, () =>
			running.lanes.add(lane, {
				kind: "exec",
				process: ZERO_PROCESS,
				kernelTimeNs: BigInt(Math.floor(world.nowMs * 1e6)),
				wallTimeMs: Date.now(),
				tier: "ebpf",
				payload: { pid, ...(text === "" ? {} : { exe: text }) },
			}),
		);
	}

	/** History gives way, as on a disk that others need: what is freed and not written to just now is gone. */
	forgetHistory(): void {
		const running = this.#running;
		if (running === null) return;
		this.#parts.world.enter(running.place, () => {
			while (running.outbox.giveBack()) {
				// One segment at a time.
			}
		});
	}

	/** Drops the link as an operator's restart of the hop's front would. */
	dropLink(): void {
		const running = this.#running;
		if (running !== null) this.#parts.world.enter(running.place, () => running.link.drop());
	}

	/** Tells the checks what is new in the outbox. */
	#look(): void {
		const running = this.#running;
		if (running === null || !running.place.isAlive) return;
		const { watch } = this.#parts;
		for (const chain of running.outbox.chains()) {
			let seen = this.#seen.get(chain.id);
			if (seen === undefined) {
				seen = { head: chain.segments[0] === undefined ? 0 : chain.segments[0].firstSeq - 1, a1: 0, a2: 0 };
				this.#seen.set(chain.id, seen);
			}
			for (; seen.head < chain.head; seen.head++) {
				const bytes = running.outbox.read(chain, seen.head + 1);
				if (bytes !== null) watch.onHeld(this.name, chain.id, seen.head + 1, chain.lane, bytes);
			}
			watch.onHead(this.name, hexOf(chain.stream), chain.head);
			for (const level of ["a1", "a2"] as const) {
				if (chain[level] <= seen[level]) continue;
				seen[level] = chain[level];
				watch.onAcked(this.name, chain.id, level, chain[level]);
			}
		}
	}

	/** An older image of the disk takes its place; the process is down. */
	restore(image: ReadonlyMap<string, Uint8Array>): void {
		this.wasRestored = true;
		this.disk.restore(image);
		this.#parts.watch.onRestored(this.name);
	}

	kill(isPowerLoss: boolean): void {
		if (this.#running === null && !isPowerLoss) return;
		const { world, network } = this.#parts;
		world.trace(`kill ${this.name}${isPowerLoss ? " power" : ""}`);
		if (this.#running !== null) this.#running.place.isAlive = false;
		this.#running = null;
		this.isPowered = !isPowerLoss;
		this.disk.callsLeft = Number.POSITIVE_INFINITY;
		this.disk.crash(isPowerLoss);
		network.processEnded(this.name);
	}
}
