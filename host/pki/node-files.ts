/**
 * One node's identity on disk: certificate chain, TLS key, signing key, the binding of the two, the root it trusts and the trust
 * document it starts from. Guarantees that a node folder is complete or absent (made beside its place, then renamed), and that
 * opening one says by name what is wrong with it. Must never overwrite a node: its signing key is what its history is checked by.
 */
import { existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { isIP } from "node:net";
import { basename, dirname, join } from "node:path";
import type { X509Certificate } from "@peculiar/x509";
import { encodeAs } from "#core/codec/index.ts";
import { type Binding, bindingShape, signBinding } from "#core/identity/binding.ts";
import { parseNodeUri } from "#core/identity/node-uri.ts";
import { PROXY_LIST_LIMITS } from "#core/identity/proxy-list.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { ed25519PublicKey, sha256 } from "#crypto";
import { makePrivateDirectory, syncDirectory, writeFileDurably } from "../durable-files.ts";
import {
	type CertificateAuthority,
	type CertificateRole,
	certificatePem,
	certificatesOfPem,
	certificateUri,
	issueNode,
	uriOf,
} from "./certificates.ts";
import { createSeed, createTlsKeys, privateKeyPem, type TlsKey } from "./keys.ts";
import { type NodePaths, nodePaths } from "./layout.ts";

export type NodeFileCode =
	/** A file is missing or unreadable; the detail names it. */
	| "pki_incomplete"
	/** The clock stands before a certificate of ours was made: it is the clock that is wrong. */
	| "clock_behind_certificates"
	| "expired";

export type NodeOptionCode = "name_invalid" | "address_invalid" | "proxies_invalid" | "node_exists";

export interface NodeOptions {
	readonly role: CertificateRole;
	readonly id: string;
	/** What peers or browsers dial; ignored names do not exist: an agent has none. */
	readonly dnsNames?: readonly string[];
	readonly ips?: readonly string[];
	/** The proxies an agent may use, by id; absent: every one of the enclave. */
	readonly proxies?: readonly string[];
	readonly lifetimeMs?: number;
}

/** What a new node needs from its enclave. */
export interface IssuingContext {
	readonly enclave: string;
	readonly issuer: CertificateAuthority;
	readonly rootPem: string;
	readonly genesis: Uint8Array;
	readonly nowMs: number;
}

export interface NodeFiles {
	readonly paths: NodePaths;
	/** `spiffe://<enclave>/<role>/<id>`. */
	readonly uri: string;
	readonly notAfterMs: number;
}

const DNS_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** Checks what a person typed before anything is made of it. */
export function checkNodeOptions(enclave: string, node: NodeOptions): Result<void, NodeOptionCode> {
	// A console's name is built by the same rules as a node's.
	const uri = certificateUri(enclave, node.role === "console" ? "sc" : node.role, node.id);
	if (!parseNodeUri(uri).ok)
		return fail(
			"name_invalid",
			`"${enclave}" and "${node.id}" must be lower-case letters, digits, dots and hyphens, at most 64 each.`,
		);
	const dnsNames = node.dnsNames ?? [];
	const ips = node.ips ?? [];
	if (node.role === "agent" && dnsNames.length + ips.length > 0)
		return fail("address_invalid", `Agent ${node.id} needs no address in its certificate: nobody dials an agent.`);
	const wrong = dnsNames.find((name) => !DNS_NAME.test(name)) ?? ips.find((ip) => isIP(ip) === 0);
	if (wrong !== undefined) return fail("address_invalid", `"${wrong}" is no DNS name or IP address.`);
	return checkProxies(enclave, node);
}

function checkProxies(enclave: string, { role, id, proxies }: NodeOptions): Result<void, NodeOptionCode> {
	if (proxies === undefined) return ok(undefined);
	if (role !== "agent")
		return fail("proxies_invalid", `${role} ${id} is no agent: only an agent is assigned to proxies.`);
	const isCounted = proxies.length >= 1 && proxies.length <= PROXY_LIST_LIMITS.proxiesMax;
	const areNames = proxies.every((proxy) => parseNodeUri(certificateUri(enclave, "px", proxy)).ok);
	if (isCounted && areNames && new Set(proxies).size === proxies.length) return ok(undefined);
	return fail(
		"proxies_invalid",
		`Agent ${id} is assigned to one to ${PROXY_LIST_LIMITS.proxiesMax} different proxies, each by its id.`,
	);
}

async function bind(leaf: X509Certificate, uri: string, keys: { seed: Uint8Array; tls: TlsKey }): Promise<Binding> {
	const statement = {
		uri,
		certFingerprint: sha256(new Uint8Array(leaf.rawData)),
		publicKey: ed25519PublicKey(keys.seed),
	};
	return signBinding(statement, keys.seed, async (message) => {
		const bytes = new Uint8Array(message);
		return new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, keys.tls, bytes));
	});
}

/** Makes the keys, the certificate and the binding, and puts the folder in place whole. */
export async function createNodeFiles(
	directory: string,
	node: NodeOptions,
	context: IssuingContext,
): Promise<Result<void, NodeOptionCode>> {
	const checked = checkNodeOptions(context.enclave, node);
	if (!checked.ok) return checked;
	if (existsSync(directory)) return fail("node_exists", `${node.role} ${node.id} already has an identity here.`);
	const tls = await createTlsKeys();
	const seed = createSeed();
	const leaf = await issueNode(context.issuer, {
		enclave: context.enclave,
		role: node.role,
		id: node.id,
		publicKey: tls.publicKey,
		dnsNames: node.dnsNames ?? [],
		ips: node.ips ?? [],
		nowMs: context.nowMs,
		...(node.proxies === undefined ? {} : { proxies: node.proxies }),
		...(node.lifetimeMs === undefined ? {} : { lifetimeMs: node.lifetimeMs }),
	});
	const uri = certificateUri(context.enclave, node.role, node.id);
	const binding = await bind(leaf, uri, { seed, tls: tls.privateKey });
	const tlsPem = await privateKeyPem(tls.privateKey);
	const temporary = join(dirname(directory), `.${basename(directory)}.creating`);
	const paths = nodePaths(temporary);
	rmSync(temporary, { recursive: true, force: true });
	makePrivateDirectory(temporary);
	writeFileDurably(paths.chain, certificatePem(leaf) + certificatePem(context.issuer.certificate));
	writeFileDurably(paths.tlsKey, tlsPem);
	writeFileDurably(paths.signingKey, seed);
	writeFileDurably(paths.binding, encodeAs(bindingShape, binding));
	writeFileDurably(paths.ca, context.rootPem);
	writeFileDurably(paths.genesis, context.genesis);
	renameSync(temporary, directory);
	syncDirectory(dirname(directory));
	return ok(undefined);
}

/** Says whether certificates are in force; the sentence tells a wrong clock from an old certificate. */
export function checkDates(certificates: readonly X509Certificate[], nowMs: number): Result<void, NodeFileCode> {
	for (const certificate of certificates) {
		const { subject, notBefore, notAfter } = certificate;
		if (nowMs < notBefore.getTime())
			return fail(
				"clock_behind_certificates",
				`This machine's clock says ${new Date(nowMs).toISOString()}, but its own certificate "${subject}" was made ` +
					`${notBefore.toISOString()}. The clock is behind: set it, then start again.`,
			);
		if (nowMs > notAfter.getTime())
			return fail("expired", `The certificate "${subject}" expired ${notAfter.toISOString()}. Issue a new one.`);
	}
	return ok(undefined);
}

/** Reads a PEM file's certificates, or says that it is missing or broken. */
export function readCertificates(path: string): Result<X509Certificate[], "pki_incomplete"> {
	try {
		const certificates = certificatesOfPem(readFileSync(path, "utf8"));
		if (certificates.length > 0) return ok(certificates);
		return fail("pki_incomplete", `${path} holds no certificate.`);
	} catch (error) {
		return fail("pki_incomplete", `${path} cannot be read as a certificate: ${(error as Error).message}`);
	}
}

/** Opens a node folder at start: everything there, everything in force. An agent seals its genesis away and removes the file. */
export function openNodeFiles(directory: string, nowMs: number): Result<NodeFiles, NodeFileCode> {
	const paths = nodePaths(directory);
	const missing = Object.values(paths).find((path) => path !== paths.genesis && !existsSync(path));
	if (missing !== undefined) return fail("pki_incomplete", `${missing} is missing.`);
	const chain = readCertificates(paths.chain);
	if (!chain.ok) return chain;
	const ca = readCertificates(paths.ca);
	if (!ca.ok) return ca;
	const dates = checkDates([...chain.value, ...ca.value], nowMs);
	if (!dates.ok) return dates;
	const leaf = chain.value[0] as X509Certificate;
	const uri = uriOf(leaf);
	const parsed = parseNodeUri(uri);
	const isAgent = parsed.ok && parsed.value.role === "agent";
	if (!isAgent && !existsSync(paths.genesis)) return fail("pki_incomplete", `${paths.genesis} is missing.`);
	return ok({ paths, uri, notAfterMs: leaf.notAfter.getTime() });
}
