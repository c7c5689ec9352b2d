/**
 * The configuration of `workerd serve`, written as Cap'n Proto text from a typed description. Guarantees: a Worker reaches what
 * its bindings name and nothing else (the `internet` service that workerd would make by itself is replaced by one that allows no
 * address); code, keys and certificates are embedded by path, so no key is copied into the text; secrets come from the
 * environment, so none stands in a file or on a command line. Must never leave a name unresolved: a binding to a service that is
 * not in the description is our own mistake and throws.
 */
import { dirname, join, relative, resolve } from "node:path";
import { assertInvariant } from "#core/result.ts";

/** The newest date this workerd's behaviour was tested with; raised together with the pinned version. */
export const COMPATIBILITY_DATE = "2026-07-01";
/** Replaces workerd's implicit service of this name, which reaches every public address. */
const NO_OUTBOUND = "internet";

export interface ModuleSpec {
	/** The name it is imported by; the first module of a Worker is its main one. */
	readonly name: string;
	readonly kind: "esModule" | "text" | "data" | "wasm" | "json";
	readonly path: string;
}

/** The modules of a worker that the build made: its bundle, and the WebAssembly that the build put beside it. */
export function bundleModules(path: string): ModuleSpec[] {
	return [
		{ name: "index.js", kind: "esModule", path },
		{ name: "sha256.wasm", kind: "wasm", path: join(dirname(path), "sha256.wasm") },
	];
}

export type BindingSpec =
	| { readonly name: string; readonly kind: "text"; readonly value: string }
	| { readonly name: string; readonly kind: "json"; readonly value: unknown }
	/** A secret: the value of an environment variable of the workerd process. */
	| { readonly name: string; readonly kind: "environment"; readonly variable: string }
	| { readonly name: string; readonly kind: "service"; readonly service: string }
	| { readonly name: string; readonly kind: "durableObject"; readonly className: string };

export interface DurableObjectSpec {
	readonly className: string;
	/** Names the folder of its data for ever: another value is another, empty set of objects. */
	readonly uniqueKey: string;
	/** Keeps objects in memory between requests. */
	readonly isPinned?: boolean;
}

export interface KeyPairPaths {
	/** PKCS#8 PEM. */
	readonly key: string;
	/** Leaf first, PEM. */
	readonly chain: string;
}

export type ServiceSpec =
	| {
			readonly kind: "worker";
			readonly name: string;
			readonly modules: readonly ModuleSpec[];
			readonly bindings: readonly BindingSpec[];
			readonly durableObjects?: readonly DurableObjectSpec[];
			/** The writable disk service that holds their data. */
			readonly storage?: string;
	  }
	| { readonly kind: "disk"; readonly name: string; readonly path: string; readonly isWritable: boolean }
	/** A server on this machine: `127.0.0.1:8080` or `unix:/path`. */
	| { readonly kind: "http"; readonly name: string; readonly address: string }
	/** A server that proves its name to us, and we ours to it. */
	| {
			readonly kind: "https";
			readonly name: string;
			readonly address: string;
			/** The DNS name its certificate must have, whatever the address is. */
			readonly certificateHost: string;
			readonly trusted: string;
			readonly keyPair?: KeyPairPaths;
	  };

export interface SocketSpec {
	readonly name: string;
	/** `127.0.0.1:8443`. */
	readonly address: string;
	readonly service: string;
	/** A named entrypoint of the Worker instead of its default one: what one socket may ask, another may not. */
	readonly entrypoint?: string;
	/** Absent: plain HTTP, for loopback only. */
	readonly tls?: {
		readonly keyPair: KeyPairPaths;
		/** PEM of the root that client certificates must come from; absent: clients show none. */
		readonly clientRoot?: string;
	};
}

export interface WorkerdSpec {
	readonly services: readonly ServiceSpec[];
	readonly sockets: readonly SocketSpec[];
}

/** A Cap'n Proto text literal. Control characters and non-ASCII are written as escaped UTF-8 bytes. */
function literal(text: string): string {
	let out = "";
	for (const byte of Buffer.from(text, "utf8")) {
		const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
		out += isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
	}
	return `"${out}"`;
}

function list(items: readonly string[]): string {
	return items.length === 0 ? "[]" : `[\n    ${items.join(",\n    ")}\n  ]`;
}

/** Embeds by a path relative to the configuration: an absolute one would be searched in workerd's import path. */
type Embed = (path: string) => string;

function renderBinding(binding: BindingSpec): string {
	const name = `name = ${literal(binding.name)}`;
	if (binding.kind === "text") return `(${name}, text = ${literal(binding.value)})`;
	if (binding.kind === "json") return `(${name}, json = ${literal(JSON.stringify(binding.value))})`;
	if (binding.kind === "environment") return `(${name}, fromEnvironment = ${literal(binding.variable)})`;
	if (binding.kind === "service") return `(${name}, service = ${literal(binding.service)})`;
	return `(${name}, durableObjectNamespace = ${literal(binding.className)})`;
}

function renderDurableObject(spec: DurableObjectSpec): string {
	const pinned = spec.isPinned === true ? ", preventEviction = true" : "";
	return `(className = ${literal(spec.className)}, uniqueKey = ${literal(spec.uniqueKey)}, enableSql = true${pinned})`;
}

function renderWorker(spec: ServiceSpec & { kind: "worker" }, embed: Embed): string {
	const modules = spec.modules.map((each) => `(name = ${literal(each.name)}, ${each.kind} = ${embed(each.path)})`);
	const objects = (spec.durableObjects ?? []).map(renderDurableObject);
	const storage =
		spec.storage === undefined ? "" : `,\n  durableObjectStorage = (localDisk = ${literal(spec.storage)})`;
	return `worker = (
  compatibilityDate = ${literal(COMPATIBILITY_DATE)},
  compatibilityFlags = ["nodejs_compat"],
  globalOutbound = ${literal(NO_OUTBOUND)},
  modules = ${list(modules)},
  bindings = ${list(spec.bindings.map(renderBinding))},
  durableObjectNamespaces = ${list(objects)}${storage}
)`;
}

function renderKeyPair(pair: KeyPairPaths, embed: Embed): string {
	return `keypair = (privateKey = ${embed(pair.key)}, certificateChain = ${embed(pair.chain)})`;
}

function renderService(spec: ServiceSpec, embed: Embed): string {
	const name = `name = ${literal(spec.name)}`;
	if (spec.kind === "worker") return `(${name}, ${renderWorker(spec, embed)})`;
	if (spec.kind === "disk")
		return `(${name}, disk = (path = ${literal(resolve(spec.path))}, writable = ${spec.isWritable}))`;
	if (spec.kind === "http") return `(${name}, external = (address = ${literal(spec.address)}, http = ()))`;
	const pair = spec.keyPair === undefined ? "" : `, ${renderKeyPair(spec.keyPair, embed)}`;
	const tls = `tlsOptions = (trustedCertificates = [${embed(spec.trusted)}]${pair})`;
	const host = `certificateHost = ${literal(spec.certificateHost)}`;
	return `(${name}, external = (address = ${literal(spec.address)}, https = (options = (), ${host}, ${tls})))`;
}

function renderSocket(spec: SocketSpec, embed: Embed): string {
	const entrypoint = spec.entrypoint === undefined ? "" : `, entrypoint = ${literal(spec.entrypoint)}`;
	const service = `service = (name = ${literal(spec.service)}${entrypoint})`;
	const head = `name = ${literal(spec.name)}, address = ${literal(spec.address)}, ${service}`;
	if (spec.tls === undefined) return `(${head}, http = ())`;
	const { keyPair, clientRoot } = spec.tls;
	const clients =
		clientRoot === undefined ? "" : `, requireClientCerts = true, trustedCertificates = [${embed(clientRoot)}]`;
	return `(${head}, https = (options = (), tlsOptions = (${renderKeyPair(keyPair, embed)}${clients})))`;
}

function assertResolved(spec: WorkerdSpec): void {
	const kinds = new Map(spec.services.map(({ name, kind }) => [name, kind]));
	assertInvariant(kinds.size === spec.services.length, "two services share a name");
	assertInvariant(!kinds.has(NO_OUTBOUND), `"${NO_OUTBOUND}" is taken: it is the service that reaches nothing`);
	for (const socket of spec.sockets) {
		assertInvariant(kinds.get(socket.service) === "worker", `socket ${socket.name} leads to no Worker`);
		const isLoopback = /^(127\.0\.0\.1|localhost|\[::1\]):\d+$/.test(socket.address);
		assertInvariant(socket.tls !== undefined || isLoopback, `socket ${socket.name} is plain HTTP beyond loopback`);
	}
	for (const service of spec.services) {
		if (service.kind !== "worker") continue;
		const classes = new Set(service.durableObjects?.map(({ className }) => className));
		assertInvariant(
			classes.size === 0 || kinds.get(service.storage ?? "") === "disk",
			`${service.name} has no storage`,
		);
		for (const binding of service.bindings) {
			if (binding.kind === "service")
				assertInvariant(kinds.has(binding.service), `${binding.name} is bound to nothing`);
			if (binding.kind === "durableObject")
				assertInvariant(classes.has(binding.className), `${binding.name} is bound to no class of ${service.name}`);
		}
	}
}

/** The text of a configuration that will lie in `directory`; relative embeds are worked out from there. */
export function renderWorkerdConfig(spec: WorkerdSpec, directory: string): string {
	assertResolved(spec);
	const embed: Embed = (path) => `embed ${literal(relative(resolve(directory), resolve(path)))}`;
	const services = spec.services.map((each) => renderService(each, embed));
	services.push(`(name = ${literal(NO_OUTBOUND)}, network = (allow = []))`);
	const sockets = spec.sockets.map((each) => renderSocket(each, embed));
	return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = ${list(services)},
  sockets = ${list(sockets)}
);
`;
}
