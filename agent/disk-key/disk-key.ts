/**
 * Where the disk key comes from: a systemd credential when there is one (`LoadCredentialEncrypted=` binds it to the machine's TPM),
 * else a 0600 file in the data directory, made at the first start. Guarantees that a key is made only where nothing was sealed
 * yet, that another key than the one that sealed the data is refused before anything is read, and that the caller can say which
 * kind it is. Must never put key bytes into an error or a log. docs/adr/0009 has the reasons.
 */
import { randomBytes } from "node:crypto";
import {
	closeSync,
	constants,
	existsSync,
	fstatSync,
	fsyncSync,
	linkSync,
	openSync,
	readdirSync,
	readFileSync,
	readSync,
	rmSync,
	writeSync,
} from "node:fs";
import { join } from "node:path";
import { equalBytes } from "#core/bytes/bytes.ts";
import { assertInvariant, fail, ok, type Result } from "#core/result.ts";
import { directoryStorage, isDiskFull, writeFileDurably } from "../outbox/storage.ts";
import { DISK_KEY_BYTES, DiskSeal } from "./disk-seal.ts";
import { SEALED_SUFFIX, SealedFiles } from "./sealed-files.ts";

/** The name that the unit file gives the credential. */
export const CREDENTIAL_NAME = "daemoneye-disk-key";
export const KEY_FILE = "disk.key";
/** Tells one key from another; it says nothing about either. */
const KEY_ID_FILE = "disk-key.id";

export type DiskKeyCode =
	/** Sealed data, and no key. */
	| "disk_key_missing"
	/** Not the key that sealed the data. */
	| "disk_key_other"
	| "disk_key_length"
	/** Mode, owner or kind of the file: others could read it. */
	| "disk_key_exposed"
	| "disk_key_unusable"
	/** The directory holds what an older agent wrote in clear. */
	| "disk_unsealed";

/** `credential`: systemd's, in a TPM when the unit says so. `file`: mode 0600 on the same disk, which root can read. */
export type DiskKeySource = "credential" | "file";

export interface SealedDisk {
	readonly seal: DiskSeal;
	readonly files: SealedFiles;
	readonly keySource: DiskKeySource;
}

interface FoundKey {
	readonly key: Uint8Array;
	readonly source: DiskKeySource;
}

const START_ANEW =
	"To start anew, move the content of data_dir away (what it holds and was not sent is lost with it) and put the enclave's " +
	"trust/genesis.cbor in the place of agent.identity.genesis.";

function lengthRefusal(path: string, bytes: number): Result<never, DiskKeyCode> {
	const what = `${path} has ${bytes > DISK_KEY_BYTES ? "more" : "fewer"} bytes than the 32 of a disk key.`;
	return fail("disk_key_length", `${what} Put the key back from where it was saved. ${START_ANEW}`);
}

/** systemd owns file and directory (a mount of its own, mode 0500): its modes and owners are not ours to judge. */
function readCredential(directory: string | undefined): Result<FoundKey | null, DiskKeyCode> {
	if (directory === undefined || directory === "") return ok(null);
	const path = join(directory, CREDENTIAL_NAME);
	if (!existsSync(path)) return ok(null);
	try {
		const key = new Uint8Array(readFileSync(path));
		return key.length === DISK_KEY_BYTES ? ok({ key, source: "credential" }) : lengthRefusal(path, key.length);
	} catch (error) {
		return fail("disk_key_unusable", `The credential ${path} cannot be read: ${(error as Error).message}.`);
	}
}

function readKeyFile(path: string): Result<FoundKey | null, DiskKeyCode> {
	let handle: number;
	try {
		handle = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
	} catch (error) {
		const { code, message } = error as NodeJS.ErrnoException;
		if (code === "ENOENT") return ok(null);
		if (code === "ELOOP") return fail("disk_key_exposed", `${path} is a link; a disk key is a file of its own.`);
		return fail("disk_key_unusable", `The disk key cannot be read: ${message}.`);
	}
	try {
		const { mode, uid } = fstatSync(handle);
		if ((mode & constants.S_IFMT) !== constants.S_IFREG)
			return fail("disk_key_exposed", `${path} is no regular file; a disk key is one.`);
		const user = process.geteuid?.() ?? uid;
		if (uid !== user)
			return fail(
				"disk_key_exposed",
				`${path} belongs to user ${uid}, the agent is ${user}. Give the file to the agent.`,
			);
		if ((mode & 0o077) !== 0) {
			const octal = (mode & 0o777).toString(8).padStart(4, "0");
			return fail(
				"disk_key_exposed",
				`${path} has mode ${octal}, so others can read it; it must be 0600. Run chmod 600.`,
			);
		}
		const bytes = new Uint8Array(DISK_KEY_BYTES + 1);
		const count = readSync(handle, bytes, 0, bytes.length, 0);
		return count === DISK_KEY_BYTES
			? ok({ key: bytes.slice(0, DISK_KEY_BYTES), source: "file" })
			: lengthRefusal(path, count);
	} finally {
		closeSync(handle);
	}
}

/** Makes the key file whole or not at all, and never over another: a link to an existing name fails. */
function createKeyFile(directory: string): FoundKey {
	const temporary = join(directory, `.${KEY_FILE}.new`);
	const key = new Uint8Array(randomBytes(DISK_KEY_BYTES));
	rmSync(temporary, { force: true });
	const handle = openSync(temporary, "wx", 0o600);
	try {
		assertInvariant(writeSync(handle, key) === key.length, "32 bytes are written at once");
		fsyncSync(handle);
	} finally {
		closeSync(handle);
	}
	linkSync(temporary, join(directory, KEY_FILE));
	rmSync(temporary);
	directoryStorage(directory).syncDirectory();
	return { key, source: "file" };
}

const listOf = (directory: string) => (existsSync(directory) ? readdirSync(directory) : []);

/** Names that an agent before this one wrote in clear. */
function clearNames(dataDir: string, outbox: string): string[] {
	const small = listOf(dataDir).filter((name) =>
		/^(trust-\d+|seen-commands|active-traces|ledger-seen)\.cbor$/.test(name),
	);
	return [...small, ...listOf(outbox).filter((name) => name.endsWith(".log"))];
}

function checkId(dataDir: string, seal: DiskSeal): Result<true, DiskKeyCode> {
	const path = join(dataDir, KEY_ID_FILE);
	if (!existsSync(path)) {
		writeFileDurably(dataDir, KEY_ID_FILE, seal.id);
		return ok(true);
	}
	if (equalBytes(new Uint8Array(readFileSync(path)), seal.id)) return ok(true);
	const what = `data_dir ${dataDir} was sealed with another disk key than the one that is here.`;
	return fail("disk_key_other", `${what} Put that key back. ${START_ANEW}`);
}

function findKey(places: DataPlaces): Result<FoundKey, DiskKeyCode> {
	const { path, outboxPath, credentials } = places;
	const credential = readCredential(credentials);
	if (!credential.ok) return credential;
	if (credential.value !== null) return ok(credential.value);
	const file = readKeyFile(join(path, KEY_FILE));
	if (!file.ok) return file;
	if (file.value !== null) return ok(file.value);
	const names = [...listOf(path), ...listOf(outboxPath)];
	if (names.some((name) => name.endsWith(SEALED_SUFFIX) || name === KEY_ID_FILE)) {
		const what = `data_dir ${path} holds sealed data, but there is neither a credential ${CREDENTIAL_NAME} nor ${KEY_FILE}.`;
		return fail("disk_key_missing", `${what} Put the key back. ${START_ANEW}`);
	}
	return ok(createKeyFile(path));
}

export interface DataPlaces {
	/** The data directory, locked by this process. */
	readonly path: string;
	readonly outboxPath: string;
	/** systemd's `CREDENTIALS_DIRECTORY`. */
	readonly credentials?: string | undefined;
}

/** Finds or makes the key of a data directory. */
export function openSealedDisk(places: DataPlaces): Result<SealedDisk, DiskKeyCode> {
	const { path, outboxPath } = places;
	const [clear] = clearNames(path, outboxPath);
	if (clear !== undefined)
		return fail("disk_unsealed", `data_dir ${path} holds ${clear}, which an older agent wrote in clear. ${START_ANEW}`);
	try {
		const found = findKey(places);
		if (!found.ok) return found;
		const seal = new DiskSeal(found.value.key);
		const checked = checkId(path, seal);
		if (!checked.ok) return checked;
		return ok({ seal, files: new SealedFiles(path, seal), keySource: found.value.source });
	} catch (error) {
		const full = isDiskFull(error) ? "the disk is full" : (error as Error).message;
		return fail("disk_key_unusable", `The disk key of data_dir ${path} cannot be made or checked: ${full}.`);
	}
}
