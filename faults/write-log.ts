/**
 * What running processes do to the files below some folders, recorded by strace: every write with its bytes, every fsync, truncation,
 * new name and removal, in the order in which they were done, with the wall clock. Guarantees that the files as they were when the
 * recording began are taken with it. A call that failed changed nothing and is not in the log.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export type DiskOp = {
	/** Wall clock in milliseconds with a fraction: a write is on its way between the two. */
	readonly startMs: number;
	readonly endMs: number;
} & (
	| { readonly kind: "write"; readonly path: string; readonly offset: number; readonly bytes: Buffer }
	| { readonly kind: "truncate"; readonly path: string; readonly size: number }
	/** Of a file or of a folder, whose names it makes durable. */
	| { readonly kind: "sync"; readonly path: string }
	| { readonly kind: "create"; readonly path: string; readonly isEmptied: boolean }
	| { readonly kind: "remove"; readonly path: string }
	| { readonly kind: "rename"; readonly path: string; readonly to: string }
);

export interface BaseFile {
	readonly bytes: Buffer;
	readonly mode: number;
}

export interface WriteLog {
	readonly base: ReadonlyMap<string, BaseFile>;
	readonly ops: readonly DiskOp[];
}

const CALLS =
	"openat,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sync_file_range,ftruncate,fallocate,unlink,unlinkat,rename,renameat,renameat2,link,linkat";
/** Far above any write of a database page or a carrier. */
const STRING_BYTES_MAX = 4 * 1024 * 1024;

const bytesOfHex = (escaped: string) => Buffer.from(escaped.replaceAll("\\x", ""), "hex");
const STRING = /"((?:\\x[0-9a-f]{2})*)"/g;
const PATH = /<((?:\\x[0-9a-f]{2})+)>/g;

interface Call {
	readonly name: string;
	/** Between the outer brackets. */
	readonly given: string;
	readonly result: string;
	readonly startMs: number;
	readonly endMs: number;
}

/** Whole calls in the order in which they ended; a call that another thread's line cut in two is put together. */
function callsOf(trace: string): Call[] {
	const calls: Call[] = [];
	const begun = new Map<string, { startMs: number; text: string }>();
	for (const line of trace.split("\n")) {
		const [, pid = "", at = "", text = ""] = line.match(/^(\d+)\s+([\d.]+) (.*)$/) ?? [];
		const atMs = Number(at) * 1000;
		if (text.endsWith("<unfinished ...>")) {
			begun.set(pid, { startMs: atMs, text: text.slice(0, -"<unfinished ...>".length) });
			continue;
		}
		const resumed = text.match(/^<\.\.\. \w+ resumed>(.*)$/);
		const open = resumed === null ? undefined : begun.get(pid);
		const whole = resumed === null ? text : `${open?.text ?? ""}${resumed[1]}`;
		const [, name, given, result, tookS] = whole.match(/^(\w+)\((.*)\)\s+= (.*?)(?: <([\d.]+)>)?$/) ?? [];
		if (name === undefined || given === undefined || result === undefined) continue;
		const startMs = open?.startMs ?? atMs;
		calls.push({ name, given, result, startMs, endMs: startMs + Number(tookS ?? 0) * 1000 });
	}
	return calls;
}

/** Reads a trace as `record` asks for it. `isKept` says which paths matter. Throws where a call is not understood. */
export function opsOf(trace: string, isKept: (path: string) => boolean): DiskOp[] {
	const ops: DiskOp[] = [];
	/** Where plain writes go on, by file. */
	const ends = new Map<string, number>();
	for (const { name, given, result, startMs, endMs } of callsOf(trace)) {
		if (result.startsWith("-1") || result.startsWith("?")) continue;
		const at = { startMs, endMs };
		const paths = [...given.matchAll(PATH)].map(([, escaped]) => bytesOfHex(escaped as string).toString());
		const strings = [...given.matchAll(STRING)].map(([, escaped]) => bytesOfHex(escaped as string));
		const named = (index: number) => resolve(paths[index] ?? "/", strings[index]?.toString() ?? "");
		const path = paths[0] ?? "";
		const numbers =
			given
				.slice(given.lastIndexOf('"') + 1)
				.match(/\d+/g)
				?.map(Number) ?? [];
		if (name === "openat") {
			const opened = [...result.matchAll(PATH)].map(([, escaped]) => bytesOfHex(escaped as string).toString())[0] ?? "";
			const isEmptied = given.includes("O_TRUNC");
			if (!isKept(opened) || !(given.includes("O_CREAT") || isEmptied)) continue;
			ends.set(opened, 0);
			ops.push({ kind: "create", path: opened, isEmptied, ...at });
		} else if (name.startsWith("unlink")) {
			const removed = name === "unlink" ? (strings[0]?.toString() ?? "") : named(0);
			if (isKept(removed)) ops.push({ kind: "remove", path: removed, ...at });
		} else if (name.startsWith("rename")) {
			const [from, to] = name === "rename" ? strings.map(String) : [named(0), named(1)];
			if (isKept(from ?? "")) ops.push({ kind: "rename", path: from as string, to: to as string, ...at });
		} else if (!isKept(path) || given.includes("(deleted)")) {
			// Nobody will find it again, or it is not of these folders.
		} else if (name === "fsync" || name === "fdatasync") ops.push({ kind: "sync", path, ...at });
		else if (name === "ftruncate")
			ops.push({ kind: "truncate", path, size: Number(given.slice(given.lastIndexOf(",") + 1)), ...at });
		else if (name === "fallocate") {
			const [mode, offset = 0, length = 0] =
				given
					.slice(given.lastIndexOf(">") + 1)
					.match(/\d+/g)
					?.map(Number) ?? [];
			if (mode !== 0) throw new Error(`${name} of ${path} is not understood: ${given}`);
			ops.push({ kind: "write", path, offset: offset + length, bytes: Buffer.alloc(0), ...at });
		} else if (name.includes("write")) {
			const bytes = Buffer.concat(strings).subarray(0, Number(result));
			const isPlaced = name.startsWith("pwrite");
			const placed = name === "pwritev2" ? numbers.at(-2) : numbers.at(-1);
			const offset = isPlaced ? (placed ?? 0) : (ends.get(path) ?? 0);
			if (!isPlaced) ends.set(path, offset + bytes.length);
			ops.push({ kind: "write", path, offset, bytes, ...at });
		} else throw new Error(`${name} of ${path} is not understood`);
	}
	return ops;
}

/** Every file below a folder, but sockets and whatever else is no file. */
export function filesBelow(folder: string): Map<string, BaseFile> {
	const files = new Map<string, BaseFile>();
	for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
		const path = join(entry.parentPath, entry.name);
		if (entry.isFile()) files.set(path, { bytes: readFileSync(path), mode: statSync(path).mode & 0o777 });
	}
	return files;
}

export interface Recording {
	/** The processes have ended: what they did. */
	end(): Promise<WriteLog>;
}

/** Begins to record running processes. They stand still until the files below the folders are taken. */
export async function record(pids: readonly number[], folders: readonly string[]): Promise<Recording> {
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-writes-"));
	const isKept = (path: string) => folders.some((folder) => path === folder || path.startsWith(`${folder}/`));
	for (const pid of pids) process.kill(pid, "SIGSTOP");
	const tracers = pids.map((pid) => {
		const file = join(directory, String(pid));
		const options = ["-f", "-y", "-ttt", "-T", "-xx", "-s", String(STRING_BYTES_MAX), "-e", `trace=${CALLS}`];
		const tracer = spawn("strace", [...options, "-e", "signal=none", "-o", file, "-p", String(pid)], {
			stdio: ["ignore", "ignore", "pipe"],
		});
		return { tracer, file, exited: once(tracer, "exit") };
	});
	for (const { tracer } of tracers)
		await new Promise<void>((resolve, reject) => {
			let said = "";
			tracer.stderr.on("data", (chunk: Buffer) => {
				said += chunk.toString();
				if (said.includes("attached")) resolve();
			});
			tracer.on("exit", () => reject(new Error(`strace could not attach: ${said.trim()}`)));
		});
	const base = new Map(folders.flatMap((folder) => [...filesBelow(folder)]));
	for (const pid of pids) process.kill(pid, "SIGCONT");
	return {
		async end() {
			await Promise.all(tracers.map(({ exited }) => exited));
			const ops = tracers.flatMap(({ file }) => opsOf(readFileSync(file, "latin1"), isKept));
			rmSync(directory, { recursive: true });
			return { base, ops: ops.sort((a, b) => a.endMs - b.endMs) };
		},
	};
}
