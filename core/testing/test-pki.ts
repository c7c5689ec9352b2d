/** A root, an issuing CA and nodes below it, made for one test. */
import "reflect-metadata";
import {
	BasicConstraintsExtension,
	ExtendedKeyUsage,
	ExtendedKeyUsageExtension,
	type Extension,
	KeyUsageFlags,
	KeyUsagesExtension,
	SubjectAlternativeNameExtension,
	X509CertificateGenerator,
} from "@peculiar/x509";
import { type NodeProof, signBinding } from "#core/identity/binding.ts";
import { ed25519PublicKey, sha256 } from "#crypto";
import { bytesNamed } from "./test-agent.ts";

const EC = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;

type KeyPair = Awaited<ReturnType<typeof crypto.subtle.generateKey>> & { publicKey: never; privateKey: never };

export interface TestNode {
	readonly uri: string;
	readonly seed: Uint8Array;
	readonly proof: NodeProof;
}

export class TestPki {
	/** DER. */
	readonly root: Uint8Array;
	readonly #issuer: Uint8Array;
	readonly #issuerKeys: KeyPair;
	readonly #nowMs: number;

	constructor(root: Uint8Array, issuer: { der: Uint8Array; keys: KeyPair }, nowMs: number) {
		this.root = root;
		this.#issuer = issuer.der;
		this.#issuerKeys = issuer.keys;
		this.#nowMs = nowMs;
	}

	/** Certificates are valid a day around `nowMs`. */
	static async make(nowMs: number): Promise<TestPki> {
		const [rootKeys, keys] = [await newKeys(), await newKeys()];
		const times = { nowMs, notAfterMs: nowMs + DAY_MS };
		const ca = (length: number) => [
			new BasicConstraintsExtension(true, length, true),
			new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
		];
		const names = { subject: "CN=root", issuer: "CN=root" };
		const root = await certificate({ ...names, ...times, extensions: ca(1), keys: rootKeys, signer: rootKeys });
		const below = { subject: "CN=ca", issuer: "CN=root" };
		const der = await certificate({ ...below, ...times, extensions: ca(0), keys, signer: rootKeys });
		return new TestPki(root, { der, keys }, nowMs);
	}

	/** A node with a seed of its own name; `notAfterMs`: when its certificate ends. */
	async node(uri: string, notAfterMs = this.#nowMs + DAY_MS): Promise<TestNode> {
		const keys = await newKeys();
		const seed = bytesNamed(uri, 32);
		const leaf = await certificate({
			...{ subject: "CN=node", issuer: "CN=ca", keys, signer: this.#issuerKeys, nowMs: this.#nowMs, notAfterMs },
			extensions: [
				new BasicConstraintsExtension(false, undefined, true),
				new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
				new SubjectAlternativeNameExtension([{ type: "url", value: uri }]),
			],
		});
		const statement = { uri, certFingerprint: sha256(leaf), publicKey: ed25519PublicKey(seed) };
		const binding = await signBinding(
			statement,
			seed,
			async (message) => new Uint8Array(await crypto.subtle.sign(EC, keys.privateKey, new Uint8Array(message))),
		);
		return { uri, seed, proof: { chain: [leaf, this.#issuer], binding } };
	}
}

const newKeys = () => crypto.subtle.generateKey(EC, true, ["sign", "verify"]) as Promise<KeyPair>;

async function certificate(plan: {
	subject: string;
	issuer: string;
	keys: KeyPair;
	signer: KeyPair;
	extensions: Extension[];
	nowMs: number;
	notAfterMs: number;
}): Promise<Uint8Array> {
	const made = await X509CertificateGenerator.create({
		serialNumber: "01",
		subject: plan.subject,
		issuer: plan.issuer,
		notBefore: new Date(plan.nowMs - DAY_MS),
		notAfter: new Date(plan.notAfterMs),
		signingAlgorithm: EC,
		publicKey: plan.keys.publicKey,
		signingKey: plan.signer.privateKey,
		extensions: plan.extensions,
	});
	return new Uint8Array(made.rawData);
}
