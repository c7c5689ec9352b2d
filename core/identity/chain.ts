/**
 * Chain validation: leaf → issuing CA → customer root, by our own list of checks, because neither the platform's certificate
 * class nor the parser's chain builder refuses all that must be refused (a non-CA issuer, a path length, a second URI name). The
 * reader supplies the root. Must never accept a chain because a library could build one.
 */
import "reflect-metadata";
import {
	BasicConstraintsExtension,
	ExtendedKeyUsageExtension,
	KeyUsageFlags,
	KeyUsagesExtension,
	SubjectAlternativeNameExtension,
	X509Certificate,
} from "@peculiar/x509";
import { equalBytes } from "#core/bytes/bytes.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { sha256 } from "#crypto";
import { type NodeName, parseNodeUri } from "./node-uri.ts";
import { decodeProxyList, PROXY_LIST_OID } from "./proxy-list.ts";

const EKU = { client: "1.3.6.1.5.5.7.3.2", server: "1.3.6.1.5.5.7.3.1" } as const;
/** Subject and authority key id, basic constraints, key usage, EKU, SAN: what we issue. Any other critical extension refuses. */
const KNOWN_EXTENSIONS = new Set(["2.5.29.14", "2.5.29.35", "2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.17"]);
/** What a node may show: leaf, issuing CA and one more; the root is the reader's and not counted. */
export const CHAIN_LENGTH_MAX = 3;

export type ChainCode =
	| "chain_malformed"
	| "chain_length"
	| "chain_signature_invalid"
	| "chain_name_mismatch"
	| "chain_not_yet_valid"
	| "chain_expired"
	| "chain_issuer_not_ca"
	| "chain_path_length"
	| "chain_leaf_is_ca"
	| "chain_usage"
	| "chain_critical_extension"
	| "chain_uri_name";

export interface CertifiedNode extends NodeName {
	readonly uri: string;
	readonly notAfterMs: number;
	/** SHA-256 of the leaf's DER. */
	readonly certFingerprint: Uint8Array;
	/** The leaf's public key, DER SubjectPublicKeyInfo. */
	readonly publicKeySpki: Uint8Array;
	/** An agent's assigned proxies by id; null: every proxy of the enclave. */
	readonly proxies: readonly string[] | null;
}

export interface ChainContext {
	/** DER of the root that the reader trusts. */
	readonly root: Uint8Array;
	readonly nowMs: number;
	readonly usage: keyof typeof EKU;
}

function verifyDates(certificate: X509Certificate, nowMs: number): Result<true, ChainCode> {
	if (nowMs < certificate.notBefore.getTime())
		return fail("chain_not_yet_valid", `${certificate.subject} is valid from ${certificate.notBefore.toISOString()}`);
	if (nowMs > certificate.notAfter.getTime())
		return fail("chain_expired", `${certificate.subject} expired at ${certificate.notAfter.toISOString()}`);
	return ok(true);
}

function verifyExtensions(certificate: X509Certificate): Result<true, ChainCode> {
	const unknown = certificate.extensions.find((each) => each.critical && !KNOWN_EXTENSIONS.has(each.type));
	if (unknown !== undefined)
		return fail(
			"chain_critical_extension",
			`${certificate.subject} has the unknown critical extension ${unknown.type}`,
		);
	return ok(true);
}

/** `below` = CA certificates between this issuer and the leaf. */
function verifyIssuer(issuer: X509Certificate, below: number): Result<true, ChainCode> {
	const constraints = issuer.getExtension(BasicConstraintsExtension);
	const usages = issuer.getExtension(KeyUsagesExtension);
	if (constraints?.ca !== true || usages === null || (usages.usages & KeyUsageFlags.keyCertSign) === 0)
		return fail("chain_issuer_not_ca", `${issuer.subject} may not sign certificates`);
	if (constraints.pathLength !== undefined && constraints.pathLength < below)
		return fail("chain_path_length", `${issuer.subject} allows ${constraints.pathLength} CAs below it`);
	return ok(true);
}

function verifyLeaf(leaf: X509Certificate, usage: keyof typeof EKU): Result<NodeName & { uri: string }, ChainCode> {
	if (leaf.getExtension(BasicConstraintsExtension)?.ca === true)
		return fail("chain_leaf_is_ca", `${leaf.subject} is a CA`);
	const purposes = leaf.getExtension(ExtendedKeyUsageExtension)?.usages ?? [];
	if (!purposes.includes(EKU[usage])) return fail("chain_usage", `${leaf.subject} is not for ${usage} use`);
	const names = leaf.getExtension(SubjectAlternativeNameExtension)?.names.toJSON() ?? [];
	const uris = names.filter((name) => name.type === "url");
	if (uris.length !== 1) return fail("chain_uri_name", `${leaf.subject} has ${uris.length} URI names, one is needed`);
	const uri = uris[0]?.value ?? "";
	const name = parseNodeUri(uri);
	if (!name.ok) return fail("chain_uri_name", name.detail);
	return ok({ ...name.value, uri });
}

function readProxyList(leaf: X509Certificate): Result<readonly string[] | null, ChainCode> {
	const lists = leaf.extensions.filter(({ type }) => type === PROXY_LIST_OID);
	const [first] = lists;
	if (first === undefined) return ok(null);
	const proxies =
		lists.length === 1 ? decodeProxyList(new Uint8Array(first.value)) : fail("chain_malformed", "two lists");
	return proxies.ok ? proxies : fail("chain_malformed", `the list of proxies of ${leaf.subject}: ${proxies.detail}`);
}

/** Validates leaf-first DER certificates (without the root) against the reader's root. */
export async function validateChain(
	chain: readonly Uint8Array[],
	context: ChainContext,
): Promise<Result<CertifiedNode, ChainCode>> {
	if (chain.length < 1 || chain.length > CHAIN_LENGTH_MAX)
		return fail("chain_length", `${chain.length} certificates, 1 to ${CHAIN_LENGTH_MAX} are read`);
	try {
		const certificates = [...chain, context.root].map((der) => new X509Certificate(der as Uint8Array<ArrayBuffer>));
		return await validateCertificates(certificates, context);
	} catch (error) {
		// The parser reads extensions and keys late and throws on hostile bytes wherever it meets them.
		return fail("chain_malformed", `a certificate does not parse: ${(error as Error).message}`);
	}
}

async function validateCertificates(
	certificates: readonly X509Certificate[],
	context: ChainContext,
): Promise<Result<CertifiedNode, ChainCode>> {
	const leaf = certificates[0] as X509Certificate;
	for (const [index, certificate] of certificates.entries()) {
		const dates = verifyDates(certificate, context.nowMs);
		if (!dates.ok) return dates;
		const extensions = verifyExtensions(certificate);
		if (!extensions.ok) return extensions;
		if (index === 0) continue;
		const issuer = verifyIssuer(certificate, index - 1);
		if (!issuer.ok) return issuer;
		const child = certificates[index - 1] as X509Certificate;
		if (
			!equalBytes(
				new Uint8Array(child.issuerName.toArrayBuffer()),
				new Uint8Array(certificate.subjectName.toArrayBuffer()),
			)
		)
			return fail("chain_name_mismatch", `${child.subject} was not issued by ${certificate.subject}`);
		if (!(await child.verify({ publicKey: certificate.publicKey, signatureOnly: true })))
			return fail("chain_signature_invalid", `${child.subject} is not signed by ${certificate.subject}`);
	}
	const name = verifyLeaf(leaf, context.usage);
	if (!name.ok) return name;
	const proxies = readProxyList(leaf);
	if (!proxies.ok) return proxies;
	return ok({
		...name.value,
		proxies: proxies.value,
		notAfterMs: leaf.notAfter.getTime(),
		certFingerprint: sha256(new Uint8Array(leaf.rawData)),
		publicKeySpki: new Uint8Array(leaf.publicKey.rawData),
	});
}
