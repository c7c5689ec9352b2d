/**
 * The verifier's face for people and scripts, shared by `verify/main.ts` and `daemoneye verify`: reads one file and one root,
 * prints each check with its claim in words, and answers by exit code. Guarantees that text from the package reaches the screen
 * escaped. Must never take the root from the package, nor open the network.
 */
import { readFileSync, statSync } from "node:fs";
import type { ParseArgsOptionsConfig } from "node:util";
import { bytesOfBase64, bytesOfHex, hexOf } from "#core/bytes/bytes.ts";
import { visible } from "#core/bytes/visible.ts";
import { ZIP_LIMITS } from "#core/package/index.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { type PackageVerdict, verifyPackage } from "#core/verify/index.ts";
import { sha256 } from "#crypto";

/** Stable: scripts read them. */
export const VERIFY_EXIT = { pass: 0, gaps: 1, fail: 2, usage: 3 } as const;

export const VERIFY_OPTIONS = {
	"root-fingerprint": { type: "string" },
	root: { type: "string" },
} as const satisfies ParseArgsOptionsConfig;

export const VERIFY_HELP = {
	usage: "FILE (--root-fingerprint HEX | --root FILE) [--json]",
	summary: "Says whether a forensic package is what the enclave's hosts and operators signed. Needs no network.",
	options: {
		"root-fingerprint": "SHA-256 of the enclave's root certificate, 64 hex digits",
		root: "or the root certificate itself, PEM or DER, as you got it from the enclave",
	},
	exit: "0 PASS, 1 PASS WITH GAPS, 2 FAIL (also when the verifier itself breaks), 3 usage or a file that cannot be read",
} as const;

const WHERE_FROM =
	"Ask the owner of the enclave for it by another way than the one the package came. `npm start` and `pki/root.crt` of the " +
	"data folder show it. The root inside the package proves nothing: whoever made the package chose it.";

export interface VerifyOutput {
	say(line: string): void;
	complain(line: string): void;
}

type RequestCode = "root_missing" | "root_doubled" | "root_malformed" | "file_missing" | "file_unreadable";

/** A root certificate is under 2 kB; a key file or a package given by mistake is named, not read whole. */
const ROOT_BYTES_MAX = 64 * 1024;

function readFile(path: string, bytesMax: number): Result<Uint8Array, RequestCode> {
	try {
		const { size } = statSync(path);
		if (size > bytesMax) return fail("file_unreadable", `${path} has ${size} bytes; at most ${bytesMax} are read.`);
		return ok(new Uint8Array(readFileSync(path)));
	} catch (error) {
		return fail("file_unreadable", `${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown"}).`);
	}
}

/** DER of the one certificate in a PEM or DER file. */
function certificateIn(bytes: Uint8Array, path: string): Result<Uint8Array, RequestCode> {
	// A DER certificate is a SEQUENCE with a two-byte length.
	if (bytes[0] === 0x30 && bytes[1] === 0x82) return ok(bytes);
	const text = new TextDecoder().decode(bytes);
	const blocks = [...text.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g)];
	const der = blocks.length === 1 ? bytesOfBase64((blocks[0]?.[1] ?? "").replace(/\s/g, "")) : null;
	if (der === null)
		return fail(
			"root_malformed",
			`${path} holds ${blocks.length} readable certificates; give the file with the root certificate alone.`,
		);
	return ok(der);
}

function fingerprintOf(values: Readonly<Record<string, unknown>>): Result<string, RequestCode> {
	const given = values["root-fingerprint"];
	const path = values.root;
	if (typeof given === "string" && typeof path === "string")
		return fail("root_doubled", "Give either --root-fingerprint or --root, not both.");
	if (typeof path === "string") {
		const bytes = readFile(path, ROOT_BYTES_MAX);
		const der = bytes.ok ? certificateIn(bytes.value, path) : bytes;
		return der.ok ? ok(hexOf(sha256(der.value))) : der;
	}
	if (typeof given !== "string")
		return fail("root_missing", `The root is missing: --root-fingerprint HEX (64 hex digits).\n${WHERE_FROM}`);
	// As people write it: capitals, colons or blanks between the pairs.
	const hex = given.toLowerCase().replace(/[:\s]/g, "");
	if (bytesOfHex(hex)?.length !== 32)
		return fail("root_malformed", `A fingerprint has 64 hex digits, this one ${hex.length} characters.\n${WHERE_FROM}`);
	return ok(hex);
}

const MEANING: Readonly<Record<PackageVerdict["verdict"], string>> = {
	PASS: "Everything in it is what was signed, and nothing of the trace is missing.",
	"PASS WITH GAPS": "Everything in it is what was signed; what is missing is named above.",
	FAIL: "Do not rely on this package.",
};

/** The verdict as lines for a person; everything that may come from the package is escaped. */
export function renderVerdict(verdict: PackageVerdict, packageSha256: string): string {
	const width = Math.max(...verdict.checks.map(({ name }) => name.length));
	const lines = verdict.checks.map(
		({ name, outcome, code, detail }) =>
			`  ${outcome.padEnd(7)}  ${name.padEnd(width)}  ${visible(detail)}${code === null ? "" : ` [${code}]`}`,
	);
	const about = verdict.traceId === null ? "no trace" : `trace ${visible(verdict.traceId)}`;
	// What a package that failed says of its own mode is not worth a line.
	const isSolo = verdict.mode === "solo" && verdict.verdict !== "FAIL";
	return [
		`package  sha256 ${packageSha256}`,
		`         ${about}${verdict.enclave === null ? "" : ` of enclave ${visible(verdict.enclave)}`}`,
		...lines,
		...(isSolo ? ["note     solo mode: one person alone could start traces and export in this enclave."] : []),
		`${verdict.verdict}  ${MEANING[verdict.verdict]}`,
	].join("\n");
}

function exitCodeOf({ verdict }: PackageVerdict): number {
	if (verdict === "PASS") return VERIFY_EXIT.pass;
	return verdict === "PASS WITH GAPS" ? VERIFY_EXIT.gaps : VERIFY_EXIT.fail;
}

/** Runs the command on parsed arguments; returns the exit code. Whatever breaks is a FAIL: never an exit that reads as an answer. */
export async function runVerify(
	values: Readonly<Record<string, unknown>>,
	positionals: readonly string[],
	output: VerifyOutput,
): Promise<number> {
	try {
		return await judgeFile(values, positionals, output);
	} catch (error) {
		output.complain(`FAIL  The verifier broke: ${visible(String(error))}.`);
		return VERIFY_EXIT.fail;
	}
}

async function judgeFile(
	values: Readonly<Record<string, unknown>>,
	positionals: readonly string[],
	output: VerifyOutput,
): Promise<number> {
	const refuse = (detail: string): number => {
		output.complain(detail);
		return VERIFY_EXIT.usage;
	};
	const [path, ...more] = positionals;
	if (path === undefined) return refuse(`Which package? usage: verify ${VERIFY_HELP.usage}`);
	if (more.length > 0) return refuse(`One package at a time; ${visible(more.join(" "))} is too much.`);
	const rootFingerprint = fingerprintOf(values);
	if (!rootFingerprint.ok) return refuse(visibleLines(rootFingerprint.detail));
	const bytes = readFile(path, ZIP_LIMITS.archiveBytesMax);
	if (!bytes.ok) return refuse(visibleLines(bytes.detail));
	const verdict = await verifyPackage(bytes.value, { rootFingerprint: rootFingerprint.value, nowMs: Date.now() });
	const packageSha256 = hexOf(sha256(bytes.value));
	output.say(
		values.json === true ? JSON.stringify({ ...verdict, packageSha256 }) : renderVerdict(verdict, packageSha256),
	);
	return exitCodeOf(verdict);
}

/** Our own sentences have line ends; a file name in them may have anything. */
function visibleLines(text: string): string {
	return text.split("\n").map(visible).join("\n");
}
