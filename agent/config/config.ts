/**
 * The agent's configuration: YAML in the seed's shape, strict. Guarantees that a key nobody reads, a wrong type or a value out of
 * range stops the start with one sentence that names key and line; a typing error never becomes a default. The agent's id is not
 * here: its certificate says it.
 */
import { dirname, resolve } from "node:path";
import { isMap, isScalar, LineCounter, type Node, parseDocument } from "yaml";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { fail, ok, type Result } from "#core/result.ts";
import type { CaptureConfig } from "../capture/collector.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { LinkTarget } from "../link/server-identity.ts";

export type ConfigCode = "config_unreadable" | "config_invalid";

export interface AgentConfig {
	readonly target: LinkTarget;
	readonly siteTag: string;
	/** Paths, absolute. */
	readonly tls: { readonly cert: string; readonly key: string; readonly ca: string };
	readonly identity: {
		readonly signingKey: string;
		readonly binding: string;
		readonly genesis: string;
		readonly root: string;
	};
	readonly dataDir: string;
	readonly stream: { readonly batchMaxEvents: number; readonly batchMaxMs: number };
	readonly trace: { readonly defaultDepth: number; readonly masksArgs: boolean };
	readonly outboxBytesMax: number;
	readonly capture: CaptureConfig;
}

type Leaf =
	| { readonly type: "text"; readonly pattern?: RegExp; readonly like?: string; readonly fallback?: string }
	| { readonly type: "path" }
	| { readonly type: "number"; readonly min: number; readonly max: number; readonly fallback: number }
	| { readonly type: "boolean"; readonly fallback: boolean }
	| { readonly type: "choice"; readonly of: readonly string[]; readonly fallback: string };
interface Section {
	readonly [key: string]: Leaf | Section;
}

const HOST_PORT = /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})$/;

const SECTIONS: Section = {
	agent: {
		proxy_hint: { type: "text", pattern: HOST_PORT, like: "host:port" },
		site_tag: { type: "text", pattern: /^[A-Za-z0-9._-]{1,64}$/, like: "a short name", fallback: "default" },
		tls: { cert: { type: "path" }, key: { type: "path" }, ca: { type: "path" } },
		identity: {
			signing_key: { type: "path" },
			binding: { type: "path" },
			genesis: { type: "path" },
			root: { type: "path" },
		},
		data_dir: { type: "path" },
		stream: {
			batch_max_events: { type: "number", min: 1, max: MODEL_LIMITS.batchEventsMax, fallback: 2000 },
			batch_max_ms: { type: "number", min: 1, max: 60_000, fallback: 250 },
		},
		trace: {
			default_depth: { type: "number", min: 1, max: 1000, fallback: 6 },
			privacy_mask_args: { type: "boolean", fallback: true },
		},
		outbox: {
			bytes_max: { type: "number", min: AGENT_LIMITS.outboxBytesMin, max: 2 ** 40, fallback: 268_435_456 },
		},
		capture: {
			scope_cgroup: { type: "text", pattern: /^[^\0]{0,4095}$/, like: "a path below the cgroup mount", fallback: "" },
			source: { type: "choice", of: ["auto", "ebpf", "proc"], fallback: "auto" },
			poll_ms: { type: "number", min: 10, max: 60_000, fallback: 200 },
		},
	},
};

/** Thrown and caught inside this file only. */
class Wrong extends Error {}

type Values = Record<string, string | number | boolean>;

/** Keys that one typing error could have meant: at most two letters off. */
function nearest(key: string, known: readonly string[]): string | undefined {
	const distance = (a: string, b: string): number => {
		let row = Array.from({ length: b.length + 1 }, (_, index) => index);
		for (let i = 1; i <= a.length; i++) {
			const next = [i];
			for (let j = 1; j <= b.length; j++) {
				const swap = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
				next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, swap));
			}
			row = next;
		}
		return row[b.length] as number;
	};
	const [best] = known.map((name) => ({ name, off: distance(key, name) })).sort((a, b) => a.off - b.off);
	return best !== undefined && best.off <= 2 ? best.name : undefined;
}

class Reader {
	readonly values: Values = {};
	readonly #lines: LineCounter;
	readonly #directory: string;

	constructor(lines: LineCounter, directory: string) {
		this.#lines = lines;
		this.#directory = directory;
	}

	#refuse(path: string, node: Node | null | undefined, sentence: string): never {
		const at =
			node?.range === undefined || node.range === null ? "" : `line ${this.#lines.linePos(node.range[0]).line}: `;
		throw new Wrong(`${at}${path}: ${sentence}`);
	}

	section(node: Node | null | undefined, section: Section, path: string): void {
		if (node !== null && node !== undefined && !isMap(node) && !(isScalar(node) && node.value === null))
			this.#refuse(path, node, "expected keys below it");
		const items = isMap(node) ? node.items : [];
		const below = (key: string) => (path === "" ? key : `${path}.${key}`);
		for (const { key } of items) {
			const name = isScalar(key) ? String(key.value) : "";
			if (Object.hasOwn(section, name)) continue;
			const meant = nearest(name, Object.keys(section));
			this.#refuse(below(name), key as Node, `unknown key${meant === undefined ? "" : `, did you mean ${meant}?`}`);
		}
		for (const [name, shape] of Object.entries(section)) {
			const pair = items.find(({ key }) => isScalar(key) && key.value === name);
			const value = pair?.value as Node | null | undefined;
			if (isLeaf(shape)) this.#leaf({ value, missingAt: node }, shape, below(name));
			else this.section(value, shape, below(name));
		}
	}

	#leaf(found: { value: Node | null | undefined; missingAt: Node | null | undefined }, leaf: Leaf, path: string): void {
		const node = found.value;
		const value = isScalar(node) ? node.value : undefined;
		if (node === undefined || node === null || value === null) {
			if (!("fallback" in leaf) || leaf.fallback === undefined) this.#refuse(path, found.missingAt, "is missing");
			this.values[path] = leaf.fallback;
			return;
		}
		if (leaf.type === "number") {
			if (typeof value !== "number" || !Number.isSafeInteger(value) || value < leaf.min || value > leaf.max)
				this.#refuse(path, node, `must be a whole number from ${leaf.min} to ${leaf.max}`);
			this.values[path] = value;
		} else if (leaf.type === "boolean") {
			if (typeof value !== "boolean") this.#refuse(path, node, "must be true or false");
			this.values[path] = value;
		} else if (leaf.type === "choice") {
			if (typeof value !== "string" || !leaf.of.includes(value))
				this.#refuse(path, node, `must be one of ${leaf.of.join(", ")}`);
			this.values[path] = value;
		} else if (leaf.type === "path") {
			if (typeof value !== "string" || value === "")
				this.#refuse(path, node, "must be the path of a file or directory");
			this.values[path] = resolve(this.#directory, value);
		} else {
			if (typeof value !== "string" || leaf.pattern?.test(value) === false)
				this.#refuse(path, node, `must be ${leaf.like ?? "text"}`);
			this.values[path] = value;
		}
	}
}

function isLeaf(shape: Leaf | Section): shape is Leaf {
	return typeof shape.type === "string";
}

function configOf(values: Values): AgentConfig {
	const text = (key: string) => values[`agent.${key}`] as string;
	const number = (key: string) => values[`agent.${key}`] as number;
	const [, host, port] = HOST_PORT.exec(text("proxy_hint")) as unknown as [string, string, string];
	if (Number(port) < 1 || Number(port) > 65_535) throw new Wrong("agent.proxy_hint: the port must be from 1 to 65535");
	return {
		target: { host: host.replace(/^\[|\]$/g, ""), port: Number(port) },
		siteTag: text("site_tag"),
		tls: { cert: text("tls.cert"), key: text("tls.key"), ca: text("tls.ca") },
		identity: {
			signingKey: text("identity.signing_key"),
			binding: text("identity.binding"),
			genesis: text("identity.genesis"),
			root: text("identity.root"),
		},
		dataDir: text("data_dir"),
		stream: { batchMaxEvents: number("stream.batch_max_events"), batchMaxMs: number("stream.batch_max_ms") },
		trace: {
			defaultDepth: number("trace.default_depth"),
			masksArgs: values["agent.trace.privacy_mask_args"] as boolean,
		},
		outboxBytesMax: number("outbox.bytes_max"),
		capture: {
			scopeCgroup: text("capture.scope_cgroup"),
			source: text("capture.source") as CaptureConfig["source"],
			pollMs: number("capture.poll_ms"),
		},
	};
}

/** Reads the text of a configuration file; relative paths in it are relative to `path`'s directory. */
export function parseConfig(text: string, path: string): Result<AgentConfig, ConfigCode> {
	if (text.length > AGENT_LIMITS.configBytesMax)
		return fail("config_unreadable", `${path} is longer than ${AGENT_LIMITS.configBytesMax} bytes.`);
	const lines = new LineCounter();
	const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, maxAliasCount: 0 } as object);
	const error = document.errors[0];
	if (error !== undefined)
		return fail("config_unreadable", `${path} line ${lines.linePos(error.pos[0]).line} is no YAML: ${error.message}.`);
	try {
		const reader = new Reader(lines, dirname(resolve(path)));
		reader.section(document.contents as Node | null, SECTIONS, "");
		return ok(configOf(reader.values));
	} catch (wrong) {
		if (wrong instanceof Wrong) return fail("config_invalid", `${path} ${wrong.message}.`);
		throw wrong;
	}
}
