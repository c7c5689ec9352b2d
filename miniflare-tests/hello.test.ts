import { equal, match, ok, rejects } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { HELLO_HEADER, LINK_PATHS } from "#core/identity/challenge.ts";
import { addNode, createEnclavePki } from "../host/pki/enclave.ts";
import { nodeDirectory, nodePaths } from "../host/pki/layout.ts";
import { ENCLAVE, startTestEnclave, type TestEnclave } from "./harness.ts";
import { ask, askNonce, helloOf, type Identity, identityOf, type Target, TestLink, UPGRADE } from "./test-agent.ts";

let enclave: TestEnclave;
let proxy: Target;
let center: Target;
let web01: Identity;
let web02: Identity;

before(async () => {
	enclave = await startTestEnclave();
	proxy = { port: enclave.proxyPort, name: enclave.proxyName, uri: enclave.proxyUri };
	center = { port: enclave.centerPort, name: enclave.centerName, uri: `spiffe://${ENCLAVE}/sc/main` };
	web01 = identityOf("web-01", enclave.pathsOf("agent", "web-01"));
	web02 = identityOf("web-02", enclave.pathsOf("agent", "web-02"));
});
after(() => enclave?.stop());

/** Tries to open a link and answers how it was refused. */
async function attempt(
	target: Target,
	identity: Identity,
	headers: Record<string, string>,
	path: string = LINK_PATHS.agent,
) {
	const { status, body } = await ask(target, identity, path, { ...UPGRADE, ...headers });
	return `${status} ${body === "" ? "" : (JSON.parse(body) as { code: string }).code}`.trim();
}
const nonceOf = () => askNonce(proxy, web01);
const objectFiles = () => enclave.channelFiles("px");

test("every refused hello has a name, and no refusal makes an object", async () => {
	const uri = proxy.uri;
	equal(await attempt(proxy, web01, {}), "401 hello_missing");
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: "not base64!" }), "400 hello_unreadable");
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: "AAAA" }), "400 hello_unreadable");
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: "A".repeat(32 * 1024 + 4) }), "431 hello_too_large");
	const good = helloOf(web01, await nonceOf(), { serverUri: uri });
	equal(
		await attempt(proxy, web01, { [HELLO_HEADER]: good, "sec-websocket-protocol": "chat" }),
		"400 subprotocol_missing",
	);
	equal((await ask(proxy, web01, LINK_PATHS.agent, { [HELLO_HEADER]: good })).status, 426);
	const foreign = helloOf(web01, new Uint8Array(32), { serverUri: uri });
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: foreign }), "403 hello_nonce_stale");
	const elsewhere = helloOf(web01, await nonceOf(), { serverUri: center.uri });
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: elsewhere }), "403 hello_wrong_server");
	const newer = helloOf(web01, await nonceOf(), { serverUri: uri, protocol: 2 });
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: newer }), "403 hello_protocol");
	const stolen = helloOf({ ...web01, seed: web02.seed }, await nonceOf(), { serverUri: uri });
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: stolen }), "403 hello_signature_invalid");
	const mixed = helloOf({ ...web01, proof: { ...web01.proof, binding: web02.proof.binding } }, await nonceOf(), {
		serverUri: uri,
	});
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: mixed }), "403 binding_mismatch");
	const px = identityOf("px-1", enclave.pathsOf("px", "px-1"));
	const wrongRole = helloOf(px, await nonceOf(), { serverUri: uri });
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: wrongRole }), "403 hello_role");
	equal(objectFiles(), 0);
});

test("an agent is admitted by the proxies that its certificate names, and by no other", async () => {
	for (const [id, proxies, expected] of [
		["assigned", ["px-2", "px-1"], "101"],
		["elsewhere", ["px-2", "px-11"], "403 proxy_not_listed"],
	] as const) {
		const added = await addNode(enclave.pkiDir, { role: "agent", id, proxies }, Date.now());
		ok(added.ok, JSON.stringify(added));
		const agent = identityOf(id, added.value.paths);
		const before = objectFiles();
		const hello = helloOf(agent, await askNonce(proxy, agent), { serverUri: proxy.uri });
		equal(await attempt(proxy, agent, { [HELLO_HEADER]: hello }), expected);
		if (expected !== "101") equal(objectFiles(), before);
	}
});

test("a clock that is days off closes no door", async () => {
	for (const timeMs of [Date.now() - 3 * 86_400_000, Date.now() + 3 * 86_400_000]) {
		const hello = helloOf(web01, await nonceOf(), { serverUri: proxy.uri, timeMs });
		equal(await attempt(proxy, web01, { [HELLO_HEADER]: hello }), "101");
	}
});

test("a nonce opens one link", async () => {
	const hello = helloOf(web01, await nonceOf(), { serverUri: proxy.uri });
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: hello }), "101");
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: hello }), "403 hello_nonce_used");
});

test("a certificate of another authority is refused by TLS, and by the hello where TLS would let it pass", async () => {
	const base = mkdtempSync(join(tmpdir(), "daemoneye-other-"));
	try {
		const policy = {
			mode: "solo",
			traceApprovals: 0,
			isMaskingRequired: true,
			traceDepthMax: 8,
			traceDurationSecsMax: 60,
		} as const;
		const nodes = [
			{ role: "sc", id: "main" },
			{ role: "agent", id: "web-01" },
		] as const;
		const invitees = [{ operatorId: "ada", roles: ["analyst"] }] as const;
		const created = await createEnclavePki(join(base, "pki"), {
			enclave: ENCLAVE,
			policy,
			nodes,
			invitees,
			nowMs: Date.now(),
		});
		ok(created.ok);
		const other = identityOf("web-01", nodePaths(nodeDirectory(join(base, "pki"), "agent", "web-01")));
		const before = objectFiles();
		await rejects(TestLink.open(proxy, { ...other, tls: { ...other.tls, ca: web01.tls.ca } }));
		const hello = helloOf(other, await nonceOf(), { serverUri: proxy.uri });
		match(await attempt(proxy, web01, { [HELLO_HEADER]: hello }), /^403 chain_(name_mismatch|signature_invalid)$/);
		equal(objectFiles(), before);
	} finally {
		rmSync(base, { recursive: true });
	}
});

test("an expired certificate is refused", async () => {
	const added = await addNode(enclave.pkiDir, { role: "agent", id: "short-lived", lifetimeMs: 2000 }, Date.now());
	ok(added.ok, JSON.stringify(added));
	const shortLived = identityOf("short-lived", added.value.paths);
	const early = helloOf(shortLived, await nonceOf(), { serverUri: proxy.uri });
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: early }), "101");
	await sleep(2100);
	const late = helloOf(shortLived, await nonceOf(), { serverUri: proxy.uri });
	equal(await attempt(proxy, web01, { [HELLO_HEADER]: late }), "403 chain_expired");
});

test("a session in which nothing is said ends with its certificate", async () => {
	const lifetimeMs = 2500;
	const issuedAtMs = Date.now();
	const added = await addNode(enclave.pkiDir, { role: "agent", id: "silent", lifetimeMs }, issuedAtMs);
	ok(added.ok, JSON.stringify(added));
	const link = await TestLink.open(proxy, identityOf("silent", added.value.paths));
	await link.expect("welcome");
	equal((await link.expect("bye")).code, "certificate_expired");
	// A certificate counts whole seconds.
	const lateMs = Date.now() - issuedAtMs - lifetimeMs;
	ok(lateMs > -1000 && lateMs < 5000, `it ended ${lateMs} ms after its certificate`);
});

test("a client without a certificate does not reach the Worker", async () => {
	await rejects(ask(proxy, { ...web01, tls: { ca: web01.tls.ca } as never }, LINK_PATHS.challenge));
});

test("an agent finds no door at the Security Center, and the proxy none at its own peers' path with an agent's name", async () => {
	const nonce = await askNonce(center, web01);
	const hello = helloOf(web01, nonce, { serverUri: center.uri });
	equal(await attempt(center, web01, { [HELLO_HEADER]: hello }), "404 not_found");
	equal(await attempt(center, web01, { [HELLO_HEADER]: hello }, LINK_PATHS.peer), "403 hello_role");
	equal((await ask(center, web01, "/anything")).status, 404);
});

test("an identity header from outside is not believed", async () => {
	equal(await attempt(proxy, web01, { "daemoneye-admitted": "AAAA" }), "401 hello_missing");
});
