/**
 * The signer process: `node host/signer/main.ts <data directory>`, started by the supervisor. It alone reads the ledger key and
 * the genesis key. Guarantees one signer per directory (a kernel lock of its own) and a socket that only this user can open.
 * Stops with a sentence on stderr and status 1 when something of it is missing or broken. Must never fall back to anything.
 */
import { chmodSync, existsSync, readFileSync, rmSync } from "node:fs";
import { fail, ok, type Result } from "#core/result.ts";
import { readPinnedTrust } from "#core/trust/trust-document.ts";
import { HOST_LIMITS } from "../limits.ts";
import { enclavePaths } from "../pki/layout.ts";
import { lockDataDir } from "../supervisor/data-dir-lock.ts";
import { openCheckpointDesk } from "./checkpoint-desk.ts";
import { openGenesisDesk } from "./genesis-desk.ts";
import { createSignerServer, type Desks } from "./server.ts";

function openDesks(dataDir: string): Result<Desks, string> {
	const { genesis: genesisPath, signer } = enclavePaths(dataDir);
	const missing = [genesisPath, signer.ledgerKey, signer.invitations].find((path) => !existsSync(path));
	if (missing !== undefined) return fail("pki_incomplete", `${missing} is missing.`);
	const genesis = readPinnedTrust(readFileSync(genesisPath));
	if (!genesis.ok) return fail("pki_incomplete", `${genesisPath} is no trust document: ${genesis.detail}`);
	const seed = new Uint8Array(readFileSync(signer.ledgerKey));
	const origin = genesis.value.document.ledgerOrigin;
	const checkpoints = openCheckpointDesk({ path: signer.checkpoint, origin, seed });
	if (!checkpoints.ok) return checkpoints;
	return ok({ checkpoints: checkpoints.value, genesis: openGenesisDesk(signer, genesis.value) });
}

function stop(message: string): never {
	process.stderr.write(`${message}\n`);
	process.exit(1);
}

function run(dataDir: string | undefined): void {
	if (dataDir === undefined) stop("usage: main.ts <data directory>");
	const { directory, socket } = enclavePaths(dataDir).signer;
	if (Buffer.byteLength(socket) > HOST_LIMITS.socketPathBytesMax)
		stop(`socket_path_too_long: ${socket} is too long for a Unix socket; use a shorter data directory.`);
	const lock = lockDataDir(directory);
	if (!lock.ok) stop(`${lock.code}: ${lock.detail}`);
	const desks = openDesks(dataDir);
	if (!desks.ok) stop(`${desks.code}: ${desks.detail}`);
	process.umask(0o077);
	// What is left of a killed predecessor; the lock says that nobody listens on it.
	rmSync(socket, { force: true });
	const server = createSignerServer(desks.value, (error) => stop(`signer_broken: ${(error as Error).stack}`));
	server.on("error", (error) => stop(`signer_broken: ${error.message}`));
	server.listen(socket, () => chmodSync(socket, 0o600));
	process.on("SIGTERM", () => server.close(() => process.exit(0)));
}

run(process.argv[2]);
