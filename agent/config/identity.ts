/**
 * The agent's own identity from its files: certificate, keys, binding, root, genesis. Guarantees that what does not fit together
 * is found at the start and named with the file, and that a wrong clock is told apart from an old certificate. Must never put a
 * key into an error.
 */
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { equalBytes } from "#core/bytes/bytes.ts";
import { decodeAs } from "#core/codec/index.ts";
import { bindingShape, proveNode } from "#core/identity/binding.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { ed25519PublicKey } from "#crypto";
import { AGENT_LIMITS } from "../limits.ts";
import type { LinkIdentity } from "../link/link.ts";
import type { TlsFiles } from "../link/server-identity.ts";
import { isGenesisImported } from "../trust-store.ts";
import type { AgentConfig } from "./config.ts";

export type IdentityCode =
	| "file_unreadable"
	/** The clock stands before the certificate: exit 3. */
	| "clock_wrong"
	/** Files that do not fit together, or a certificate that is not an agent's or has expired: exit 4. */
	| "identity_invalid";

export interface LoadedIdentity {
	readonly link: LinkIdentity;
	readonly tls: TlsFiles;
	/** Trust document version 0 as it lies on disk; null = it was imported and removed (see trust-store.ts). */
	readonly genesis: Uint8Array | null;
	readonly notAfterMs: number;
}

/** Thrown and caught inside this file only. */
class Unreadable extends Error {}

function read(key: string, path: string): Buffer {
	try {
		if (statSync(path).size > AGENT_LIMITS.identityFileBytesMax) throw new Error("the file is too large");
		return readFileSync(path);
	} catch (error) {
		throw new Unreadable(`agent.${key} ${path} cannot be read: ${(error as Error).message}.`);
	}
}

function certificatesOf(key: string, pem: string): Uint8Array[] {
	const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
	if (blocks.length === 0) throw new Unreadable(`agent.${key} holds no certificate in PEM.`);
	try {
		return blocks.map((block) => new Uint8Array(new X509Certificate(block).raw));
	} catch (error) {
		throw new Unreadable(`agent.${key} holds a certificate that cannot be read: ${(error as Error).message}.`);
	}
}

function checkTls(tls: TlsFiles): Result<true, IdentityCode> {
	try {
		createSecureContext({ ...tls });
		return ok(true);
	} catch (error) {
		// OpenSSL names the mismatch and never the key.
		return fail("identity_invalid", `agent.tls.key does not belong to agent.tls.cert: ${(error as Error).message}.`);
	}
}

async function load(config: AgentConfig, nowMs: number): Promise<Result<LoadedIdentity, IdentityCode>> {
	const text = (key: string, path: string) => read(key, path).toString();
	const tls: TlsFiles = {
		ca: text("tls.ca", config.tls.ca),
		cert: text("tls.cert", config.tls.cert),
		key: text("tls.key", config.tls.key),
	};
	const seed = new Uint8Array(read("identity.signing_key", config.identity.signingKey));
	if (seed.length !== 32)
		return fail("identity_invalid", `agent.identity.signing_key has ${seed.length} bytes; an Ed25519 seed has 32.`);
	const binding = decodeAs(bindingShape, new Uint8Array(read("identity.binding", config.identity.binding)));
	if (!binding.ok) return fail("identity_invalid", `agent.identity.binding is not a binding: ${binding.detail}.`);
	const genesisFile = config.identity.genesis;
	const isThere = existsSync(genesisFile);
	if (!isThere && !isGenesisImported(config.dataDir))
		throw new Unreadable(
			`agent.identity.genesis ${genesisFile} is missing and data_dir holds none; copy the enclave's trust/genesis.cbor there.`,
		);
	const genesis = isThere ? new Uint8Array(read("identity.genesis", genesisFile)) : null;
	const chain = certificatesOf("tls.cert", tls.cert);
	const root = certificatesOf("identity.root", text("identity.root", config.identity.root))[0] as Uint8Array;
	const node = await proveNode({ chain, binding: binding.value }, { root, nowMs, usage: "client" });
	if (!node.ok && node.code === "chain_not_yet_valid")
		return fail(
			"clock_wrong",
			`This machine's clock says ${new Date(nowMs).toISOString()}, before its own certificate was made (${node.detail}). ` +
				"Set the clock, then start again.",
		);
	if (!node.ok)
		return fail("identity_invalid", `The agent's certificate and binding: ${node.detail}. Enrol this agent again.`);
	if (node.value.role !== "agent")
		return fail("identity_invalid", `agent.tls.cert is the certificate of ${node.value.uri}, which is no agent.`);
	if (!equalBytes(node.value.signingKey, ed25519PublicKey(seed)))
		return fail("identity_invalid", "agent.identity.signing_key is not the key of agent.identity.binding.");
	const tlsKeys = checkTls(tls);
	if (!tlsKeys.ok) return tlsKeys;
	const { id: agent, enclave, certFingerprint, notAfterMs, proxies } = node.value;
	const link: LinkIdentity = { agent, enclave, certFingerprint, chain, binding: binding.value, seed, root, proxies };
	return ok({ link, tls, genesis, notAfterMs });
}

/** Reads and proves everything the agent is. */
export async function loadIdentity(config: AgentConfig, nowMs: number): Promise<Result<LoadedIdentity, IdentityCode>> {
	try {
		return await load(config, nowMs);
	} catch (error) {
		if (error instanceof Unreadable) return fail("file_unreadable", error.message);
		throw error;
	}
}
