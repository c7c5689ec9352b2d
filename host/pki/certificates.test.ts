import { equal, match, ok, rejects } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { X509Certificate as NodeCertificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
	type CertificateAuthority,
	type CertificateRole,
	certificatePem,
	certificatesOfPem,
	createIssuingCa,
	createRoot,
	fingerprintOf,
	issueNode,
} from "./certificates.ts";
import { createTlsKeys, privateKeyPem, tlsKeysOfPem } from "./keys.ts";

const NOW = Date.now();
const DAY = 86_400_000;
let directory: string;
let root: CertificateAuthority;
let issuing: CertificateAuthority;

before(async () => {
	directory = mkdtempSync(join(tmpdir(), "daemoneye-pki-"));
	root = await createRoot("lab", NOW);
	issuing = await createIssuingCa("lab", root, NOW);
});
after(() => rmSync(directory, { recursive: true }));

async function leaf(role: CertificateRole, lifetimeMs = DAY, nowMs = NOW): Promise<NodeCertificate> {
	const { publicKey } = await createTlsKeys();
	const isServer = role !== "agent";
	const certificate = await issueNode(issuing, {
		enclave: "lab",
		role,
		id: "one",
		publicKey,
		dnsNames: isServer ? ["localhost"] : [],
		ips: isServer ? ["127.0.0.1", "::1"] : [],
		nowMs,
		lifetimeMs,
	});
	return new NodeCertificate(certificatePem(certificate));
}

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

function opensslVerify(certificate: NodeCertificate, purpose: string): string {
	const paths = { root: join(directory, "root.crt"), ca: join(directory, "ca.crt"), leaf: join(directory, "leaf.crt") };
	writeFileSync(paths.root, certificatePem(root.certificate));
	writeFileSync(paths.ca, certificatePem(issuing.certificate));
	writeFileSync(paths.leaf, certificate.toString());
	const run = spawnSync("openssl", [
		"verify",
		"-x509_strict",
		"-purpose",
		purpose,
		"-CAfile",
		paths.root,
		"-untrusted",
		paths.ca,
		paths.leaf,
	]);
	return `${run.status} ${run.stdout}${run.stderr}`;
}

test("openssl accepts each role's leaf for what it is for, and an agent's for nothing else", {
	skip: !hasOpenssl,
}, async () => {
	match(opensslVerify(await leaf("agent"), "sslclient"), /^0 .*OK/);
	match(opensslVerify(await leaf("agent"), "sslserver"), /^2 /);
	match(opensslVerify(await leaf("px"), "sslclient"), /^0 .*OK/);
	match(opensslVerify(await leaf("px"), "sslserver"), /^0 .*OK/);
	match(opensslVerify(await leaf("sc"), "sslserver"), /^0 .*OK/);
	match(opensslVerify(await leaf("console"), "sslserver"), /^0 .*OK/);
	match(opensslVerify(await leaf("console"), "sslclient"), /^2 /);
});

test("a leaf has exactly one URI name, and a server's also the names its peers dial", async () => {
	const px = await leaf("px");
	equal(px.subjectAltName?.match(/URI:/g)?.length, 1);
	ok(px.subjectAltName?.includes("URI:spiffe://lab/px/one"));
	ok(px.checkHost("one.px.lab") && px.checkHost("localhost") && px.checkIP("127.0.0.1"));
	equal((await leaf("agent")).subjectAltName, "URI:spiffe://lab/agent/one");
});

test("the chain is bounded: the root allows one level below it, the issuing CA none, a leaf is no authority", async () => {
	const text = (certificate: CertificateAuthority["certificate"]) =>
		certificate.extensions.map((each) => each.toString("text"));
	match(text(root.certificate).join("\n"), /Path Length: 1/i);
	match(text(issuing.certificate).join("\n"), /Path Length: 0/i);
	equal((await leaf("sc")).ca, false);
});

test("a leaf starts a little in the past and never outlives its issuer", async () => {
	const short = await leaf("agent", DAY);
	equal(new Date(short.validTo).getTime(), Math.floor((NOW + DAY) / 1000) * 1000);
	ok(new Date(short.validFrom).getTime() < NOW);
	const greedy = await leaf("agent", 4000 * DAY);
	ok(new Date(greedy.validTo).getTime() <= issuing.certificate.notAfter.getTime());
});

test("an agent's leaf with an address is refused: nobody dials an agent", async () => {
	const { publicKey } = await createTlsKeys();
	const request = { enclave: "lab", role: "agent", id: "a", publicKey, dnsNames: ["x"], ips: [], nowMs: NOW } as const;
	await rejects(issueNode(issuing, request), /nobody dials an agent/);
});

test("PEM goes out and comes back: a chain keeps its order, a key its halves, other text has no key", async () => {
	const chain = certificatesOfPem(certificatePem(issuing.certificate) + certificatePem(root.certificate));
	equal(chain.map(fingerprintOf).join(), [issuing, root].map((each) => fingerprintOf(each.certificate)).join());
	match(fingerprintOf(root.certificate), /^[0-9a-f]{64}$/);
	const pem = await privateKeyPem(root.keys.privateKey);
	const back = await tlsKeysOfPem(pem);
	ok(back !== null);
	equal(await privateKeyPem(back.privateKey), pem);
	equal(await tlsKeysOfPem("not a key"), null);
});
