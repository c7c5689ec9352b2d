import { equal, match, ok, throws } from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { request } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createEnclavePki } from "../pki/enclave.ts";
import { nodeDirectory, nodePaths } from "../pki/layout.ts";
import { freeLoopbackPort } from "../supervisor/free-port.ts";
import { isHealthy } from "../supervisor/health.ts";
import { type ProcessSpec, runSupervisor, type Supervisor } from "../supervisor/supervisor.ts";
import { renderWorkerdConfig, type ServiceSpec, type SocketSpec, type WorkerdSpec } from "./config.ts";
import { prepareWorkerd } from "./process.ts";

const AWKWARD = 'quote " backslash \\ line\nend, ü €';
const WORKER = `
import { connect } from "cloudflare:sockets";
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
export class Notes extends DurableObject {
	fetch(request) {
		const { sql } = this.ctx.storage;
		sql.exec("CREATE TABLE IF NOT EXISTS note (text TEXT)");
		if (request.method === "PUT") sql.exec("INSERT INTO note VALUES (?)", new URL(request.url).pathname);
		return new Response(JSON.stringify([...sql.exec("SELECT text FROM note")].map((row) => row.text)));
	}
}
async function attempt(work) {
	try { return new Response("reached: " + (await work())); }
	catch (error) { return new Response("refused: " + error.message); }
}
export class Links extends WorkerEntrypoint {
	fetch(request) { return new Response("links " + new URL(request.url).pathname); }
}
export default {
	async fetch(request, env) {
		const url = new URL(request.url);
		const target = url.searchParams.get("to");
		if (request.headers.get("upgrade") === "websocket") {
			const [client, server] = Object.values(new WebSocketPair());
			server.accept();
			server.addEventListener("message", ({ data }) => server.send("echo " + data));
			return new Response(null, { status: 101, webSocket: client });
		}
		if (url.pathname === "/health") return new Response("ok");
		if (url.pathname === "/bindings") return Response.json({ text: env.TEXT, json: env.JSON, secret: env.SECRET });
		if (url.pathname === "/fetch") return attempt(async () => (await fetch(target)).status);
		if (url.pathname === "/connect") return attempt(async () => { await connect(target).opened; return "open"; });
		if (url.pathname === "/signer") return env.SIGNER.fetch("http://signer/hello");
		if (url.pathname === "/upstream") return attempt(async () => (await env.UPSTREAM.fetch("https://up/health")).text());
		if (url.pathname === "/socket") return attempt(async () => {
			const { webSocket } = await env.UPSTREAM.fetch("https://up/", { headers: { upgrade: "websocket" } });
			webSocket.accept();
			const answer = new Promise((resolve) => webSocket.addEventListener("message", ({ data }) => resolve(data)));
			webSocket.send("hi");
			return answer;
		});
		if (url.pathname.startsWith("/assets/")) return env.ASSETS.fetch(new Request("http://assets/" + url.pathname.slice(8), request));
		return env.NOTES.getByName("one").fetch(request);
	},
};`;

let base: string;
let dataDir: string;
let box: Supervisor | undefined;
let port: number;

beforeEach(async () => {
	// The name is part of the test: paths end up in configuration text.
	base = mkdtempSync(join(tmpdir(), 'daemoneye "w" '));
	dataDir = join(base, "d");
	mkdirSync(dataDir);
	writeFileSync(join(base, "worker.js"), WORKER);
	port = await freeLoopbackPort();
});
afterEach(async () => {
	await box?.stop();
	box = undefined;
	rmSync(base, { recursive: true });
});

function specOf(more: readonly ServiceSpec[] = [], sockets: readonly SocketSpec[] = []): WorkerdSpec {
	return {
		services: [
			{
				kind: "worker",
				name: "main",
				modules: [{ name: "worker.js", kind: "esModule", path: join(base, "worker.js") }],
				bindings: [
					{ name: "TEXT", kind: "text", value: AWKWARD },
					{ name: "JSON", kind: "json", value: { deep: [1, AWKWARD] } },
					{ name: "SECRET", kind: "environment", variable: "THE_SECRET" },
					{ name: "NOTES", kind: "durableObject", className: "Notes" },
					...more.map(({ name }) => ({ name: name.toUpperCase(), kind: "service" as const, service: name })),
				],
				durableObjects: [{ className: "Notes", uniqueKey: "notes-v1" }],
				storage: "storage",
			},
			{ kind: "disk", name: "storage", path: join(dataDir, "objects"), isWritable: true },
			...more,
		],
		sockets: [{ name: "plain", address: `127.0.0.1:${port}`, service: "main" }, ...sockets],
	};
}

function described(spec: WorkerdSpec): ProcessSpec {
	const health = { kind: "http", url: `http://127.0.0.1:${port}/health` } as const;
	const prepared = prepareWorkerd({ name: "sc", dataDir, spec, secrets: { THE_SECRET: "hush" }, health });
	if (!prepared.ok) throw new Error(prepared.detail);
	return prepared.value;
}

async function start(spec: WorkerdSpec, change: Partial<ProcessSpec> = {}): Promise<Supervisor> {
	const limits = { backoffFirstMs: 10, backoffMaxMs: 50, backoffResetMs: 60_000, restartsMax: 5 };
	const started = await runSupervisor({ dataDir, processes: [{ ...described(spec), ...change }], limits });
	if (!started.ok) throw new Error(started.detail);
	box = started.value;
	return box;
}

async function get(path: string, method = "GET"): Promise<string> {
	return (await fetch(`http://127.0.0.1:${port}${path}`, { method })).text();
}

async function listen(server: Server, where: string | number): Promise<void> {
	await new Promise<void>((resolve) => server.listen(where as number, () => resolve()));
}

test("a row that was acknowledged is there after kill -9 and a restart", async () => {
	const supervisor = await start(specOf());
	equal(await get("/first", "PUT"), '["/first"]');
	const before = supervisor.pids().get("sc") as number;
	process.kill(before, "SIGKILL");
	for (
		let i = 0;
		i < 200 && (supervisor.pids().get("sc") === before || (await get("/health").catch(() => "")) !== "ok");
		i++
	)
		await sleep(25);
	equal(await get("/second", "PUT"), '["/first","/second"]');
	await supervisor.stop();
	await start(specOf());
	equal(await get("/"), '["/first","/second"]');
	equal(statSync(join(dataDir, "objects/notes-v1")).mode & 0o777, 0o700);
});

/** Connects every few milliseconds while `work` runs. */
async function refusalsDuring(work: () => Promise<unknown>): Promise<{ asked: number; refused: number }> {
	const count = { asked: 0, refused: 0 };
	let isOver = false;
	const knocking = (async () => {
		while (!isOver) {
			await new Promise<void>((resolve) => {
				const socket = connect(port, "127.0.0.1", () => socket.destroy());
				socket.on("error", () => count.refused++);
				socket.on("close", () => resolve());
			});
			count.asked++;
			await sleep(2);
		}
	})();
	await work();
	isOver = true;
	await knocking;
	return count;
}

test("replaced or killed, a worker whose sockets are the supervisor's refuses nobody; one with its own does", async () => {
	const ours = await start(specOf());
	const first = await get("/first", "PUT");
	// A request that waits in the queue is answered by the next process.
	const replaced = await refusalsDuring(async () => {
		const replacing = ours.replace("sc");
		await sleep(50);
		const [answer, result] = await Promise.all([get("/second", "PUT"), replacing]);
		equal(answer, '["/first","/second"]');
		ok(result.ok && result.value.awayMs < 10_000);
	});
	equal(first, '["/first"]');
	equal(replaced.refused, 0);
	ok(replaced.asked > 10);
	const killed = await refusalsDuring(async () => {
		process.kill(ours.pids().get("sc") as number, "SIGKILL");
		await sleep(50);
		equal(await get("/health"), "ok");
	});
	equal(killed.refused, 0);
	await ours.stop();
	const gone = await refusalsDuring(() => sleep(50));
	equal(gone.refused, gone.asked, "after a stop nobody waits for what will not come");
	const own = await start(specOf(), { listens: [] });
	const { refused } = await refusalsDuring(() => own.replace("sc"));
	ok(refused > 0, "the counter counts");
});

test("text of any kind and secrets arrive as bindings; the secret is in no file and on no command line", async () => {
	const supervisor = await start(specOf());
	equal(await get("/bindings"), JSON.stringify({ text: AWKWARD, json: { deep: [1, AWKWARD] }, secret: "hush" }));
	const path = join(dataDir, "run/sc.capnp");
	equal(statSync(path).mode & 0o777, 0o600);
	ok(!readFileSync(path, "utf8").includes("hush"));
	ok(!readFileSync(`/proc/${supervisor.pids().get("sc")}/cmdline`, "latin1").includes("hush"));
});

test("a Worker reaches no address but its bindings: neither loopback, nor a public one, nor by raw socket", async () => {
	const other = createServer((_request, response) => response.end("reached me"));
	await listen(other, 0);
	const { port: open } = other.address() as { port: number };
	equal(await (await fetch(`http://127.0.0.1:${open}/`)).text(), "reached me", "it is open to everyone else");
	await start(specOf());
	for (const target of [
		`http://127.0.0.1:${open}/`,
		`http://localhost:${open}/`,
		`http://[::1]:${open}/`,
		"http://1.1.1.1/",
	])
		match(await get(`/fetch?to=${encodeURIComponent(target)}`), /^refused: /, target);
	for (const target of [`127.0.0.1:${open}`, `localhost:${open}`, "1.1.1.1:80"])
		match(await get(`/connect?to=${encodeURIComponent(target)}`), /^refused: /, target);
	match(readFileSync(join(dataDir, "logs/sc.log"), "utf8"), /restrictPeers/, "it was the rule, not a lack of network");
	other.close();
});

test("a Unix socket and a read-only folder are reached by their bindings", async () => {
	const path = join(base, "signer.sock");
	const signer = createServer((question, response) => response.end(`signer got ${question.url}`));
	await new Promise<void>((resolve) => signer.listen(path, () => resolve()));
	mkdirSync(join(base, "dist"));
	writeFileSync(join(base, "dist/index.html"), "<h1>console</h1>");
	await start(
		specOf([
			{ kind: "http", name: "signer", address: `unix:${path}` },
			{ kind: "disk", name: "assets", path: join(base, "dist"), isWritable: false },
		]),
	);
	equal(await get("/signer"), "signer got /hello");
	equal(await get("/assets/index.html"), "<h1>console</h1>");
	await get("/assets/evil.html", "PUT");
	throws(() => statSync(join(base, "dist/evil.html")));
	signer.close();
});

test("a socket may lead to a named entrypoint, and a TLS socket is asked for its health like any other", async () => {
	const pki = join(base, "pki");
	await createPki(pki, "px-1");
	const { tlsKey, chain } = nodePaths(nodeDirectory(pki, "sc", "sc"));
	const [linksPort, tlsPort] = [await freeLoopbackPort(), await freeLoopbackPort()];
	await start(
		specOf(
			[],
			[
				{ name: "links", address: `127.0.0.1:${linksPort}`, service: "main", entrypoint: "Links" },
				{
					name: "console",
					address: `127.0.0.1:${tlsPort}`,
					service: "main",
					tls: { keyPair: { key: tlsKey, chain } },
				},
			],
		),
	);
	equal(await (await fetch(`http://127.0.0.1:${linksPort}/bindings`)).text(), "links /bindings");
	equal(await isHealthy({ kind: "http", url: `https://127.0.0.1:${tlsPort}/health` }), true);
	equal(await isHealthy({ kind: "http", url: `https://127.0.0.1:${port}/health` }), false, "plain HTTP is no TLS");
});

/** Status of GET /health over TLS, or the error's code. */
function getTls(tlsPort: number, files: { ca: string; cert?: string; key?: string }): Promise<string> {
	const { promise, resolve } = Promise.withResolvers<string>();
	const pem = Object.fromEntries(Object.entries(files).map(([name, path]) => [name, readFileSync(path)]));
	const options = { host: "127.0.0.1", servername: "localhost", port: tlsPort, path: "/health", agent: false, ...pem };
	const question = request(options, (answer) => {
		answer.resume();
		resolve(String(answer.statusCode));
	});
	question.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
	question.end();
	return promise;
}

async function createPki(directory: string, id: string): Promise<void> {
	const created = await createEnclavePki(directory, {
		enclave: "lab",
		policy: { mode: "solo", traceApprovals: 0, isMaskingRequired: true, traceDepthMax: 8, traceDurationSecsMax: 60 },
		nodes: [
			{ role: "sc", id: "sc", dnsNames: ["localhost"], ips: ["127.0.0.1"] },
			{ role: "px", id, dnsNames: ["localhost"] },
			{ role: "agent", id: "a" },
		],
		invitees: [{ operatorId: "ada", roles: ["analyst"] }],
		nowMs: Date.now(),
	});
	ok(created.ok);
}

test("the mTLS socket lets in certificates of this enclave only, and a proxy's upstream link passes both ways", async () => {
	const [ours, theirs] = [join(base, "ours"), join(base, "theirs")];
	await createPki(ours, "px-1");
	await createPki(theirs, "px-1");
	const node = (pki: string, role: "sc" | "px" | "agent", id: string) => nodePaths(nodeDirectory(pki, role, id));
	const sc = node(ours, "sc", "sc");
	const px = node(ours, "px", "px-1");
	const tlsPort = await freeLoopbackPort();
	const upstream = (certificateHost: string): ServiceSpec => ({
		kind: "https",
		name: "upstream",
		address: `127.0.0.1:${tlsPort}`,
		certificateHost,
		trusted: px.ca,
		keyPair: { key: px.tlsKey, chain: px.chain },
	});
	const tls = { keyPair: { key: sc.tlsKey, chain: sc.chain }, clientRoot: sc.ca };
	const socket: SocketSpec = { name: "links", address: `127.0.0.1:${tlsPort}`, service: "main", tls };
	const supervisor = await start(specOf([upstream("sc.sc.lab")], [socket]));
	const agent = node(ours, "agent", "a");
	const stranger = node(theirs, "agent", "a");
	equal(await getTls(tlsPort, { ca: agent.ca, cert: agent.chain, key: agent.tlsKey }), "200");
	match(await getTls(tlsPort, { ca: agent.ca }), /^(ERR_SSL_|ECONNRESET)/);
	match(await getTls(tlsPort, { ca: agent.ca, cert: stranger.chain, key: stranger.tlsKey }), /^(ERR_SSL_|ECONNRESET)/);
	match(await getTls(tlsPort, { ca: stranger.ca, cert: agent.chain, key: agent.tlsKey }), /SELF_SIGNED|UNABLE_TO/);
	equal(await get("/upstream"), "reached: ok");
	equal(await get("/socket"), "reached: echo hi");
	await supervisor.stop();
	await start(specOf([upstream("px-1.px.lab")], [socket]));
	match(await get("/upstream"), /^refused: /, "a server with another node's name is not the upstream");
});

test("a description that would leave something open or unbound is our own mistake and throws", () => {
	const spec = specOf();
	const render = (change: Partial<WorkerdSpec>) => () => renderWorkerdConfig({ ...spec, ...change }, dataDir);
	const [worker, storage] = spec.services as [ServiceSpec, ServiceSpec];
	const socket = { name: "s", address: "0.0.0.0:80", service: "main" };
	throws(render({ sockets: [socket] }), /plain HTTP beyond loopback/);
	throws(render({ sockets: [{ ...socket, address: "127.0.0.1:1", service: "storage" }] }), /leads to no Worker/);
	throws(render({ services: [worker] }), /no storage/);
	throws(render({ services: [worker, storage, storage] }), /share a name/);
	throws(render({ services: [worker, storage, { kind: "http", name: "internet", address: "x" }] }), /reaches nothing/);
	throws(render({ services: [worker, { ...storage, name: "disk" }] }), /no storage/);
});
