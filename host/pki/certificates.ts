/**
 * The enclave's certificates: a customer root (path length 1), the issuing CA of the Security Center (path length 0) and node
 * leaves. Guarantees: every name, usage and lifetime comes from the arguments, never from a request; a leaf has exactly one URI
 * SAN `spiffe://<enclave>/<role>/<id>`, an agent's leaf is for clients only, and a leaf never outlives its issuer. Making only:
 * whether to believe a chain is core/identity's question.
 */
import "reflect-metadata";
import { createHash, randomBytes } from "node:crypto";
import {
	AuthorityKeyIdentifierExtension,
	BasicConstraintsExtension,
	ExtendedKeyUsage,
	ExtendedKeyUsageExtension,
	Extension,
	type JsonGeneralName,
	KeyUsageFlags,
	KeyUsagesExtension,
	SubjectAlternativeNameExtension,
	SubjectKeyIdentifierExtension,
	X509Certificate,
	X509CertificateGenerator,
} from "@peculiar/x509";
import { type NodeRole, nodeUri } from "#core/identity/node-uri.ts";
import { encodeProxyList, PROXY_LIST_OID } from "#core/identity/proxy-list.ts";
import { assertInvariant } from "#core/result.ts";
import { HOST_LIMITS } from "../limits.ts";
import { createTlsKeys, type TlsKey, type TlsKeys } from "./keys.ts";

const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;

/** Nodes, and the TLS face a browser talks to: a console's name is no node's, so it never passes for one. */
export type CertificateRole = NodeRole | "console";

export interface CertificateAuthority {
	readonly certificate: X509Certificate;
	readonly keys: TlsKeys;
}

export interface NodeCertificateRequest {
	readonly enclave: string;
	readonly role: CertificateRole;
	readonly id: string;
	/** The node's TLS public key; all else of what it asks for is decided here. */
	readonly publicKey: TlsKey;
	/** Names and addresses peers dial, for the hostname check of TLS clients; an agent has none. */
	readonly dnsNames: readonly string[];
	readonly ips: readonly string[];
	/** An agent's assigned proxies by id; absent: every proxy of the enclave. */
	readonly proxies?: readonly string[];
	readonly nowMs: number;
	readonly lifetimeMs?: number;
}

/** The URI name that a certificate carries. */
export function certificateUri(enclave: string, role: CertificateRole, id: string): string {
	return role === "console" ? `spiffe://${enclave}/console/${id}` : nodeUri({ enclave, role, id });
}

/** The DNS name every server leaf carries beside its site's own, so that a peer may dial any address and check this one. */
export function serverNameOf(enclave: string, role: CertificateRole, id: string): string {
	return `${id}.${role}.${enclave}`;
}

function usagesOf(role: CertificateRole): ExtendedKeyUsage[] {
	if (role === "agent") return [ExtendedKeyUsage.clientAuth];
	if (role === "console") return [ExtendedKeyUsage.serverAuth];
	return [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth];
}

interface Description {
	readonly subject: string;
	readonly issuer: string;
	readonly publicKey: TlsKey;
	readonly signingKey: TlsKey;
	readonly nowMs: number;
	readonly notAfterMs: number;
	readonly extensions: Extension[];
}

async function makeCertificate(description: Description): Promise<X509Certificate> {
	const serial = randomBytes(16);
	// RFC 5280 wants a positive serial of at most 20 bytes: the top bit is cleared, the next one set so it is never zero.
	serial[0] = ((serial[0] as number) & 0x7f) | 0x40;
	return X509CertificateGenerator.create({
		serialNumber: serial.toString("hex"),
		subject: description.subject,
		issuer: description.issuer,
		notBefore: new Date(description.nowMs - HOST_LIMITS.certificateBackdateMs),
		notAfter: new Date(description.notAfterMs),
		signingAlgorithm: SIGNING,
		publicKey: description.publicKey,
		signingKey: description.signingKey,
		extensions: description.extensions,
	});
}

async function authorityExtensions(publicKey: TlsKey, pathLength: number): Promise<Extension[]> {
	return [
		new BasicConstraintsExtension(true, pathLength, true),
		new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
		await SubjectKeyIdentifierExtension.create(publicKey),
	];
}

/** A new root: self-signed, path length 1, ten years unless told otherwise. */
export async function createRoot(enclave: string, nowMs: number): Promise<CertificateAuthority> {
	const keys = await createTlsKeys();
	const name = `CN=${enclave} root`;
	const certificate = await makeCertificate({
		subject: name,
		issuer: name,
		publicKey: keys.publicKey,
		signingKey: keys.privateKey,
		nowMs,
		notAfterMs: nowMs + HOST_LIMITS.rootLifetimeMs,
		extensions: await authorityExtensions(keys.publicKey, 1),
	});
	return { certificate, keys };
}

/** The Security Center's issuing CA under the root: path length 0, one year. */
export async function createIssuingCa(
	enclave: string,
	root: CertificateAuthority,
	nowMs: number,
): Promise<CertificateAuthority> {
	const keys = await createTlsKeys();
	const certificate = await makeCertificate({
		subject: `CN=${enclave} issuing CA`,
		issuer: root.certificate.subject,
		publicKey: keys.publicKey,
		signingKey: root.keys.privateKey,
		nowMs,
		notAfterMs: Math.min(nowMs + HOST_LIMITS.issuingCaLifetimeMs, root.certificate.notAfter.getTime()),
		extensions: [
			...(await authorityExtensions(keys.publicKey, 0)),
			await AuthorityKeyIdentifierExtension.create(root.keys.publicKey),
		],
	});
	return { certificate, keys };
}

/** Issues one node's leaf. Throws on names that the callers' own checks must have refused. */
export async function issueNode(
	issuer: CertificateAuthority,
	request: NodeCertificateRequest,
): Promise<X509Certificate> {
	const { enclave, role, id, nowMs } = request;
	const isServer = role !== "agent";
	assertInvariant(
		isServer || request.dnsNames.length + request.ips.length === 0,
		"an agent's certificate names no address: nobody dials an agent",
	);
	assertInvariant(request.proxies === undefined || !isServer, "only an agent is assigned to proxies");
	const lists =
		request.proxies === undefined
			? []
			: [new Extension(PROXY_LIST_OID, false, new Uint8Array(encodeProxyList(request.proxies)))];
	const names: JsonGeneralName[] = [{ type: "url", value: certificateUri(enclave, role, id) }];
	const dnsNames = isServer ? new Set([serverNameOf(enclave, role, id), ...request.dnsNames]) : [];
	for (const value of dnsNames) names.push({ type: "dns", value });
	for (const value of new Set(request.ips)) names.push({ type: "ip", value });
	return makeCertificate({
		subject: `CN=${role} ${id}`,
		issuer: issuer.certificate.subject,
		publicKey: request.publicKey,
		signingKey: issuer.keys.privateKey,
		nowMs,
		notAfterMs: Math.min(
			nowMs + (request.lifetimeMs ?? HOST_LIMITS.nodeLifetimeMs),
			issuer.certificate.notAfter.getTime(),
		),
		extensions: [
			new BasicConstraintsExtension(false, undefined, true),
			new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
			new ExtendedKeyUsageExtension(usagesOf(role)),
			new SubjectAlternativeNameExtension(names),
			await SubjectKeyIdentifierExtension.create(request.publicKey),
			await AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey),
			...lists,
		],
	});
}

/** PEM with the line end that concatenation needs. */
export function certificatePem(certificate: X509Certificate): string {
	return `${certificate.toString("pem").trimEnd()}\n`;
}

/** Every certificate in a PEM text, in order; empty if there is none. Throws if one is not readable. */
export function certificatesOfPem(pem: string): X509Certificate[] {
	const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
	return blocks.map((block) => new X509Certificate(block));
}

/** SHA-256 of the DER as lower-case hex: what people compare, and what an agent pins. */
export function fingerprintOf(certificate: X509Certificate): string {
	return createHash("sha256").update(new Uint8Array(certificate.rawData)).digest("hex");
}

/** The certificate's one URI name; empty when it has none. */
export function uriOf(certificate: X509Certificate): string {
	const names = certificate.getExtension(SubjectAlternativeNameExtension)?.names.toJSON() ?? [];
	return names.find((name) => name.type === "url")?.value ?? "";
}
