import "reflect-metadata";
import assert from "node:assert/strict";
import { test } from "node:test";
import {
	BasicConstraintsExtension,
	ExtendedKeyUsage,
	ExtendedKeyUsageExtension,
	Extension,
	KeyUsageFlags,
	KeyUsagesExtension,
	SubjectAlternativeNameExtension,
	X509CertificateGenerator,
} from "@peculiar/x509";
import { ed25519PublicKey, sha256 } from "#crypto";
import { proveNode, signBinding } from "./binding.ts";
import { validateChain } from "./chain.ts";
import { CHALLENGE_AGE_MS_MAX, isNonceFresh, makeNonce } from "./challenge.ts";
import { HELLO_LIMITS, type HelloPayload, PROTOCOL_VERSION, signHello, verifyHello } from "./hello.ts";
import { nodeUri, parseNodeUri } from "./node-uri.ts";
import { encodeProxyList, PROXY_LIST_OID } from "./proxy-list.ts";
import { isNewerRoute, verifyRoute } from "./route.ts";

const NOW = Date.UTC(2026, 10, 22);
const DAY = 86_400_000;
const EC = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const newKeys = () => crypto.subtle.generateKey(EC, true, ["sign", "verify"]) as Promise<CryptoKeys>;
type CryptoKeys = Awaited<ReturnType<typeof crypto.subtle.generateKey>> & { publicKey: never; privateKey: never };

const URI = "spiffe://lab/agent/web-01";
const ca = (pathLength?: number) => [
	new BasicConstraintsExtension(true, pathLength, true),
	new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
];
const leafOf = (uris: string[], usage: ExtendedKeyUsage = ExtendedKeyUsage.clientAuth): Extension[] => [
	new BasicConstraintsExtension(false, undefined, true),
	new ExtendedKeyUsageExtension([usage]),
	new SubjectAlternativeNameExtension(uris.map((value) => ({ type: "url", value }))),
];

interface Plan {
	subject: string;
	issuer: string;
	extensions: Extension[];
	keys: CryptoKeys;
	signer: CryptoKeys;
	notBefore?: number;
	notAfter?: number;
}

async function make(plan: Plan): Promise<Uint8Array> {
	const certificate = await X509CertificateGenerator.create({
		serialNumber: "01",
		subject: plan.subject,
		issuer: plan.issuer,
		notBefore: new Date(plan.notBefore ?? NOW - DAY),
		notAfter: new Date(plan.notAfter ?? NOW + DAY),
		signingAlgorithm: EC,
		publicKey: plan.keys.publicKey,
		signingKey: plan.signer.privateKey,
		extensions: plan.extensions,
	});
	return new Uint8Array(certificate.rawData);
}

const keys = { root: await newKeys(), issuer: await newKeys(), leaf: await newKeys(), other: await newKeys() };
const root = await make({
	subject: "CN=root",
	issuer: "CN=root",
	extensions: ca(1),
	keys: keys.root,
	signer: keys.root,
});
const issuerPlan: Plan = {
	subject: "CN=ca",
	issuer: "CN=root",
	extensions: ca(0),
	keys: keys.issuer,
	signer: keys.root,
};
const leafPlan: Plan = {
	subject: "CN=web-01",
	issuer: "CN=ca",
	extensions: leafOf([URI]),
	keys: keys.leaf,
	signer: keys.issuer,
};
const issuer = await make(issuerPlan);
const leaf = await make(leafPlan);
const context = { root, nowMs: NOW, usage: "client" } as const;

test("a leaf under the issuing CA under the reader's root is its node", async () => {
	const node = await validateChain([leaf, issuer], context);
	assert(node.ok, JSON.stringify(node));
	assert.equal(node.value.uri, URI);
	assert.deepEqual([node.value.enclave, node.value.role, node.value.id], ["lab", "agent", "web-01"]);
	assert.equal(node.value.notAfterMs, NOW + DAY);
	assert.equal(node.value.proxies, null);
});

const listOf = (value: Uint8Array) => new Extension(PROXY_LIST_OID, false, new Uint8Array(value));
const assigned = await make({ ...leafPlan, extensions: [...leafOf([URI]), listOf(encodeProxyList(["px-1", "px-2"]))] });

test("an agent's certificate names the proxies it is assigned to", async () => {
	const node = await validateChain([assigned, issuer], context);
	assert(node.ok, JSON.stringify(node));
	assert.deepEqual(node.value.proxies, ["px-1", "px-2"]);
});

const chains: [string, () => Promise<Uint8Array[]>, string][] = [
	["no certificate", async () => [], "chain_length"],
	["too many certificates", async () => [leaf, issuer, issuer, issuer], "chain_length"],
	["bytes that are no certificate", async () => [new Uint8Array(40), issuer], "chain_malformed"],
	[
		"another key behind the issuer's name",
		async () => [await make({ ...leafPlan, signer: keys.other }), issuer],
		"chain_signature_invalid",
	],
	[
		"a same-name CA of another root",
		async () => [leaf, await make({ ...issuerPlan, signer: keys.other })],
		"chain_signature_invalid",
	],
	[
		"an issuer of another name",
		async () => [await make({ ...leafPlan, issuer: "CN=other" }), issuer],
		"chain_name_mismatch",
	],
	[
		"a leaf that signs a leaf",
		async () => [
			await make({ ...leafPlan, issuer: "CN=web-01", signer: keys.leaf }),
			await make({ ...issuerPlan, subject: "CN=web-01", extensions: leafOf([URI]), keys: keys.leaf }),
		],
		"chain_issuer_not_ca",
	],
	[
		"an issuer without the right to sign",
		async () => [
			leaf,
			await make({
				...issuerPlan,
				extensions: [
					new BasicConstraintsExtension(true, 0, true),
					new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
				],
			}),
		],
		"chain_issuer_not_ca",
	],
	[
		"a CA below a CA of path length 0",
		async () => {
			const below = await make({
				subject: "CN=below",
				issuer: "CN=ca",
				extensions: ca(),
				keys: keys.other,
				signer: keys.issuer,
			});
			return [await make({ ...leafPlan, issuer: "CN=below", signer: keys.other }), below, issuer];
		},
		"chain_path_length",
	],
	["a CA as the leaf", async () => [issuer], "chain_leaf_is_ca"],
	[
		"server usage where a client is needed",
		async () => [await make({ ...leafPlan, extensions: leafOf([URI], ExtendedKeyUsage.serverAuth) }), issuer],
		"chain_usage",
	],
	[
		"two URI names",
		async () => [await make({ ...leafPlan, extensions: leafOf([URI, "spiffe://lab/agent/db-01"]) }), issuer],
		"chain_uri_name",
	],
	["no URI name", async () => [await make({ ...leafPlan, extensions: leafOf([]) }), issuer], "chain_uri_name"],
	[
		"a URI that names no node",
		async () => [await make({ ...leafPlan, extensions: leafOf(["https://lab/agent/web-01"]) }), issuer],
		"chain_uri_name",
	],
	[
		"an unknown critical extension",
		async () => [
			await make({
				...leafPlan,
				extensions: [...leafOf([URI]), new Extension("1.2.3.4", true, new Uint8Array([5, 0]))],
			}),
			issuer,
		],
		"chain_critical_extension",
	],
	[
		"a list of proxies that does not read",
		async () => [await make({ ...leafPlan, extensions: [...leafOf([URI]), listOf(new Uint8Array([0x81]))] }), issuer],
		"chain_malformed",
	],
	[
		"an empty list of proxies",
		async () => [await make({ ...leafPlan, extensions: [...leafOf([URI]), listOf(encodeProxyList([]))] }), issuer],
		"chain_malformed",
	],
	[
		"a leaf not yet valid",
		async () => [await make({ ...leafPlan, notBefore: NOW + 1000 }), issuer],
		"chain_not_yet_valid",
	],
	["an expired leaf", async () => [await make({ ...leafPlan, notAfter: NOW - 1000 }), issuer], "chain_expired"],
	["an expired issuer", async () => [leaf, await make({ ...issuerPlan, notAfter: NOW - 1000 })], "chain_expired"],
];
for (const [name, chain, code] of chains)
	test(`a chain with ${name} is refused as ${code}`, async () => {
		const refused = await validateChain(await chain(), context);
		assert(!refused.ok);
		assert.equal(refused.code, code);
	});

const seed = new Uint8Array(32).fill(5);
const signTls = async (message: Uint8Array, signer = keys.leaf) =>
	new Uint8Array(await crypto.subtle.sign(EC, signer.privateKey, new Uint8Array(message)));
const statement = { uri: URI, certFingerprint: sha256(leaf), publicKey: ed25519PublicKey(seed) };
const binding = await signBinding(statement, seed, signTls);
const proof = { chain: [leaf, issuer], binding };

test("a node is proved by a binding that both keys signed", async () => {
	const node = await proveNode(proof, context);
	assert(node.ok, JSON.stringify(node));
	assert.deepEqual(node.value.signingKey, ed25519PublicKey(seed));
});

test("a binding for another certificate or name, or missing one of the two signatures, is refused", async () => {
	const elsewhere = await signBinding({ ...statement, certFingerprint: sha256(issuer) }, seed, signTls);
	const renamed = await signBinding({ ...statement, uri: "spiffe://lab/agent/db-01" }, seed, signTls);
	for (const wrong of [elsewhere, renamed]) {
		const refused = await proveNode({ ...proof, binding: wrong }, context);
		assert(!refused.ok && refused.code === "binding_mismatch");
	}
	const stolenCert = await signBinding(statement, seed, (message) => signTls(message, keys.other));
	const stolenKey = {
		...binding,
		nodeSignature: (await signBinding(statement, new Uint8Array(32), signTls)).nodeSignature,
	};
	for (const wrong of [stolenCert, stolenKey]) {
		const refused = await proveNode({ ...proof, binding: wrong }, context);
		assert(!refused.ok && refused.code === "binding_signature_invalid");
	}
});

const payload: HelloPayload = {
	protocol: PROTOCOL_VERSION,
	serverNonce: new Uint8Array(32).fill(1),
	clientNonce: new Uint8Array(32).fill(2),
	serverUri: "spiffe://lab/px/px-1",
	certFingerprint: sha256(leaf),
	timeMs: NOW,
	streams: [{ lane: "bulk", stream: new Uint8Array(8), head: 3 }],
};
const helloContext = { serverNonce: payload.serverNonce, serverUri: payload.serverUri, root, nowMs: NOW };

test("a hello made for this server and this link is believed", async () => {
	const judged = await verifyHello(signHello(payload, seed, proof), helloContext);
	assert(judged.ok, JSON.stringify(judged));
	assert.deepEqual(judged.value.payload, payload);
});

test("a hello is judged by the nonce and the reader's clock, whatever time its maker believes it is", async () => {
	for (const timeMs of [0, NOW - DAY, NOW + DAY, NOW + 100 * 365 * DAY]) {
		const judged = await verifyHello(signHello({ ...payload, timeMs }, seed, proof), helloContext);
		assert(judged.ok, JSON.stringify(judged));
		assert.equal(judged.value.payload.timeMs, timeMs);
	}
	const later = { ...helloContext, nowMs: NOW + 3 * DAY };
	const expired = await verifyHello(signHello(payload, seed, proof), later);
	assert(!expired.ok && expired.code === "chain_expired");
});

const hellos: [string, Partial<HelloPayload>, string][] = [
	["another protocol", { protocol: PROTOCOL_VERSION + 1 }, "hello_protocol"],
	["another link's nonce", { serverNonce: new Uint8Array(32) }, "hello_nonce"],
	["another server's name", { serverUri: "spiffe://lab/px/px-2" }, "hello_wrong_server"],
	["another certificate", { certFingerprint: new Uint8Array(32) }, "hello_certificate"],
];
for (const [name, change, code] of hellos)
	test(`a hello with ${name} is refused as ${code}`, async () => {
		const refused = await verifyHello(signHello({ ...payload, ...change }, seed, proof), helloContext);
		assert(!refused.ok);
		assert.equal(refused.code, code);
	});

// The parser takes a SET tag for a SEQUENCE outside the signed part of an issuer's certificate: then the node must be the same.
test("a hello signed by another key or cut is refused, and one with any bit flipped never proves anything else", async () => {
	const believed = await verifyHello(signHello(payload, seed, proof), helloContext);
	assert(believed.ok);
	const forged = await verifyHello(signHello(payload, new Uint8Array(32).fill(6), proof), helloContext);
	assert(!forged.ok && forged.code === "hello_signature_invalid");
	const hello = signHello(payload, seed, proof);
	for (let at = 0; at < hello.length; at += 7) {
		const flipped = Uint8Array.from(hello);
		flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
		const judged = await verifyHello(flipped, helloContext);
		if (judged.ok) {
			assert.deepEqual(judged.value.node, believed.value.node, `byte ${at}`);
			assert.deepEqual(judged.value.payload, payload, `byte ${at}`);
		}
		assert(!(await verifyHello(hello.subarray(0, at), helloContext)).ok, `cut at ${at}`);
	}
});

const proxySeed = new Uint8Array(32).fill(7);
const proxyUri = payload.serverUri;
const proxyLeaf = await make({ ...leafPlan, subject: "CN=px-1", extensions: leafOf([proxyUri]), keys: keys.other });
const proxyStatement = { uri: proxyUri, certFingerprint: sha256(proxyLeaf), publicKey: ed25519PublicKey(proxySeed) };
const proxyProof = {
	chain: [proxyLeaf, issuer],
	binding: await signBinding(proxyStatement, proxySeed, (message) => signTls(message, keys.other)),
};
const UPPER = "spiffe://lab/px/upper";
const agentStep = (change: Partial<HelloPayload> = {}) => signHello({ ...payload, ...change }, seed, proof);
const proxyStep = (change: Partial<HelloPayload> = {}) =>
	signHello(
		{ ...payload, serverUri: UPPER, certFingerprint: sha256(proxyLeaf), timeMs: NOW + 5, ...change },
		proxySeed,
		proxyProof,
	);
const assignedStep = async (proxies: string[]) => {
	const shown = await make({ ...leafPlan, extensions: [...leafOf([URI]), listOf(encodeProxyList(proxies))] });
	const statement = { uri: URI, certFingerprint: sha256(shown), publicKey: ed25519PublicKey(seed) };
	const binding = await signBinding(statement, seed, (message) => signTls(message, keys.leaf));
	return signHello({ ...payload, certFingerprint: sha256(shown) }, seed, { chain: [shown, issuer], binding });
};
const routeContext = { agentUri: URI, proxyUri, selfUri: "spiffe://lab/sc/main", root, nowMs: NOW };
const upperContext = { ...routeContext, proxyUri: UPPER };

test("a route is believed whose every step its maker signed for the next, and tells when each was chosen", async () => {
	assert.deepEqual(await verifyRoute([agentStep()], routeContext), { ok: true, value: [NOW] });
	assert.deepEqual(await verifyRoute([agentStep(), proxyStep()], upperContext), { ok: true, value: [NOW, NOW + 5] });
	assert((await verifyRoute([await assignedStep(["px-2", "px-1"]), proxyStep()], upperContext)).ok);
	// The certificate is judged at the time of the hello: the link is still the agent's after it has been renewed.
	const later = await verifyRoute([agentStep()], { ...routeContext, nowMs: NOW + 3 * DAY });
	assert(later.ok, JSON.stringify(later));
	// Ten minutes of skew were allowed at the door, so they are here.
	const { clockSkewMsMax } = HELLO_LIMITS;
	const behind = agentStep({ timeMs: NOW - DAY - clockSkewMsMax });
	const ahead = agentStep({ timeMs: NOW + DAY + clockSkewMsMax });
	assert((await verifyRoute([behind], routeContext)).ok);
	assert((await verifyRoute([ahead], { ...routeContext, nowMs: NOW + DAY })).ok);
});

const routes: [string, readonly Uint8Array[], typeof routeContext, string][] = [
	["no step", [], routeContext, "route_empty"],
	[
		"an agent whose list names other proxies",
		[await assignedStep(["px-2", "px-3"]), proxyStep()],
		upperContext,
		"proxy_not_listed",
	],
	["a step of the reader's own", [agentStep(), proxyStep()], { ...upperContext, selfUri: proxyUri }, "path_cycle"],
	["a step to another proxy", [agentStep({ serverUri: UPPER })], routeContext, "hello_wrong_server"],
	["a step missing between", [agentStep()], upperContext, "hello_wrong_server"],
	["a proxy as the agent", [proxyStep()], upperContext, "route_of_another"],
	["another agent", [agentStep()], { ...routeContext, agentUri: "spiffe://lab/agent/db-01" }, "route_of_another"],
	[
		"an agent as a proxy",
		[agentStep({ serverUri: URI }), agentStep({ serverUri: UPPER })],
		upperContext,
		"route_of_another",
	],
	["a step signed by another", [signHello(payload, proxySeed, proof)], routeContext, "hello_signature_invalid"],
	[
		"a step from the future",
		[agentStep({ timeMs: NOW + HELLO_LIMITS.clockSkewMsMax + 1 })],
		routeContext,
		"hello_clock",
	],
	[
		"a step under a certificate not yet valid",
		[agentStep({ timeMs: NOW - DAY - HELLO_LIMITS.clockSkewMsMax - 1 })],
		routeContext,
		"chain_not_yet_valid",
	],
	[
		"a step under an expired certificate",
		[agentStep({ timeMs: NOW + DAY + HELLO_LIMITS.clockSkewMsMax + 1000 })],
		{ ...routeContext, nowMs: NOW + 2 * DAY },
		"chain_expired",
	],
];
for (const [name, route, context, code] of routes)
	test(`a route with ${name} is refused as ${code}`, async () => {
		const refused = await verifyRoute(route, context);
		assert(!refused.ok);
		assert.equal(refused.code, code);
	});

test("a route is newer if it was chosen later where the two part", () => {
	assert(isNewerRoute([2], [1]));
	assert(isNewerRoute([1, 3, 1], [1, 2]));
	for (const [one, other] of [
		[[1], [1]],
		[[1], [2]],
		[
			[1, 2],
			[1, 3],
		],
		[[1, 9], [2]],
		[[1, 2], [1]],
		[[1], [1, 2]],
		[[1], []],
	] as const)
		assert(!isNewerRoute(one, other), `${one} ${other}`);
});

test("a nonce is fresh for its time, from its maker only", () => {
	const key = new Uint8Array(32).fill(9);
	const nonce = makeNonce(key, NOW, new Uint8Array(8).fill(3));
	assert(isNonceFresh(key, nonce, NOW + CHALLENGE_AGE_MS_MAX));
	assert(!isNonceFresh(key, nonce, NOW + CHALLENGE_AGE_MS_MAX + 1));
	assert(!isNonceFresh(key, nonce, NOW - 1001));
	assert(!isNonceFresh(new Uint8Array(32), nonce, NOW));
	for (let at = 0; at < nonce.length; at++) {
		const flipped = Uint8Array.from(nonce);
		flipped[at] = (flipped[at] as number) ^ 1;
		assert(!isNonceFresh(key, flipped, NOW), `byte ${at}`);
	}
	assert(!isNonceFresh(key, nonce.subarray(1), NOW));
});

test("a node's name round-trips and anything else names nothing", () => {
	const name = { enclave: "lab", role: "px", id: "px-1.site" } as const;
	assert.deepEqual(parseNodeUri(nodeUri(name)), { ok: true, value: name });
	for (const uri of [
		"",
		"spiffe://lab/px/",
		"spiffe://lab/console/a",
		"spiffe://LAB/px/a",
		"spiffe://lab/px/a/b",
		"spiffe://lab/px/-a",
	])
		assert(!parseNodeUri(uri).ok, uri);
});
