/**
 * Writes events the way a collector would see them, for the story of the console's tests. The same on every run; nothing here is
 * captured.
 */
import { createHash } from "node:crypto";
import type { EventKind } from "#core/model/event.ts";
import type { EventDetails, EventRow } from "../../workers/sc/api/answers.ts";

export const TRACE_ID = "T-20261122-4f1c9a";
export const STORY_START_MS = Date.UTC(2026, 10, 22, 12, 31, 4, 120);

export function keyOf(agent: string, pid: number): string {
	return createHash("sha256").update(`${agent} ${pid}`).digest("hex").slice(0, 32);
}

interface Known {
	readonly pid: number;
	readonly parentPid: number | null;
	name: string;
	exe: string;
}

/** Writes events the way a collector would see them. */
export class Script {
	readonly events: EventRow[] = [];
	readonly #agent: string;
	readonly #aheadMs: number;
	readonly #known = new Map<number, Known>();
	#atMs: number;

	constructor(agent: string, aheadMs: number, startMs: number) {
		this.#agent = agent;
		this.#aheadMs = aheadMs;
		this.#atMs = startMs;
	}

	get nowMs(): number {
		return this.#atMs;
	}

	wait(ms: number): this {
		this.#atMs += ms;
		return this;
	}

	event(kind: EventKind, pid: number, fields: Partial<EventRow> = {}): EventRow {
		const known = this.#known.get(pid);
		const seq = this.events.length;
		const row: EventRow = {
			row: 0,
			agent: this.#agent,
			kind,
			process: pid === 0 ? "0".repeat(32) : keyOf(this.#agent, pid),
			traceId: TRACE_ID,
			kernelTimeNs: String(BigInt(this.#atMs - STORY_START_MS + 86_400_000) * 1_000_000n + BigInt(seq)),
			timeMs: this.#atMs + this.#aheadMs,
			alignedTimeMs: this.#atMs,
			seq,
			stream: "6f2a91c04b7de835",
			batchSeq: 1 + Math.floor(seq / 20),
			tier: pid === 0 ? "agent" : "ebpf",
			verdict: pid === 0 ? "batch_signed" : "event_signed",
			pid: pid === 0 ? null : pid,
			ppid: known?.parentPid ?? null,
			parent: null,
			creatorParent: known?.parentPid ? keyOf(this.#agent, known.parentPid) : null,
			name: known?.name ?? null,
			exe: known?.exe ?? null,
			filename: null,
			cmdline: null,
			isMasked: false,
			uid: this.#agent === "web-01" ? 33 : 0,
			euid: this.#agent === "web-01" ? 33 : 0,
			exitCode: null,
			exitSignal: null,
			local: null,
			remote: null,
			result: null,
			path: null,
			pathTo: null,
			cause: null,
			depth: null,
			details: null,
			...fields,
		};
		this.events.push(row);
		return row;
	}

	/** An event whose facts are details. */
	tell(kind: EventKind, pid: number, details: EventDetails, fields: Partial<EventRow> = {}): this {
		this.event(kind, pid, { ...fields, details });
		return this.wait(1);
	}

	snapshot(pid: number, parentPid: number, name: string, cmdline: string[]): this {
		this.#known.set(pid, { pid, parentPid, name, exe: cmdline[0] ?? name });
		this.event("snapshot", pid, { cmdline, parent: keyOf(this.#agent, parentPid), creatorParent: null });
		return this;
	}

	fork(pid: number, parentPid: number): this {
		const parent = this.#known.get(parentPid);
		this.#known.set(pid, { pid, parentPid, name: parent?.name ?? "?", exe: parent?.exe ?? "?" });
		this.event("fork", pid);
		return this.wait(1);
	}

	exec(pid: number, exe: string, cmdline: string[], isMasked = false): this {
		const known = this.#known.get(pid);
		if (known) {
			known.name = exe.split("/").at(-1) ?? exe;
			known.exe = exe;
		}
		this.event("exec", pid, { filename: cmdline[0] ?? exe, cmdline, isMasked });
		this.wait(1);
		for (const library of ["/etc/ld.so.cache", "/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/locale/locale-archive"]) {
			this.event("file_open", pid, { path: library });
			this.wait(1);
		}
		return this;
	}

	exit(pid: number, exitCode = 0): this {
		this.event("exit", pid, { exitCode, exitSignal: 0 });
		return this.wait(2);
	}

	/** A short-lived program: fork, exec, what it does, exit. */
	run(pid: number, parentPid: number, cmdline: string[], does: (script: Script) => void = () => undefined): this {
		this.fork(pid, parentPid).exec(pid, `/usr/bin/${cmdline[0]}`, cmdline);
		does(this);
		return this.wait(6).exit(pid);
	}
}
