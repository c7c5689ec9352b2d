import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { readZip, writeZip } from "#core/package/index.ts";
import type { PackageVerdict } from "#core/verify/index.ts";
import { makeTestPackage, sealTestPackage, signedCommand, type TestPackage } from "#core/verify/testing/enclave.ts";
import { renderVerdict, runVerify } from "./command.ts";

const directory = mkdtempSync(join(tmpdir(), "daemoneye-verify-"));
after(() => rmSync(directory, { recursive: true }));
let made: TestPackage;
const file = join(directory, "case.zip");
before(async () => {
	made = await makeTestPackage();
	writeFileSync(file, sealTestPackage(made.input));
	writeFileSync(join(directory, "root.der"), made.input.root);
	const base64 = Buffer.from(made.input.root).toString("base64").replace(/.{64}/g, "$&\n");
	const pem = `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
	writeFileSync(join(directory, "root.pem"), pem);
	writeFileSync(join(directory, "chain.pem"), pem + pem);
});

interface Ran {
	readonly code: number;
	readonly said: string;
	readonly complained: string;
}

async function run(values: Record<string, unknown>, ...positionals: string[]): Promise<Ran> {
	const said: string[] = [];
	const complained: string[] = [];
	const output = { say: (line: string) => said.push(line), complain: (line: string) => complained.push(line) };
	const code = await runVerify(values, positionals, output);
	return { code, said: said.join("\n"), complained: complained.join("\n") };
}

const withRoot = (rootFingerprint = made.rootFingerprint) => ({ "root-fingerprint": rootFingerprint });

test("a good package ends with PASS and 0, by fingerprint in any spelling, by PEM and by DER", async () => {
	const spelled = made.rootFingerprint.toUpperCase().replace(/(..)(?!$)/g, "$1:");
	const roots = [
		withRoot(),
		withRoot(spelled),
		{ root: join(directory, "root.pem") },
		{ root: join(directory, "root.der") },
	];
	for (const root of roots) {
		const { code, said } = await run(root, file);
		assert.equal(code, 0, said);
		assert.match(said, /\nPASS {2}Everything/);
		assert.match(said, / {2}pass +batch_signatures +5 batches: each signed by its host/);
	}
});

test("a package with gaps ends with 1, a bad one with 2 and the check by name, another root with 2", async () => {
	const open = await makeTestPackage({ batches: (told) => told.slice(0, -1) });
	const path = join(directory, "open.zip");
	writeFileSync(path, sealTestPackage(open.input));
	const gaps = await run(withRoot(open.rootFingerprint), path);
	assert.equal(gaps.code, 1);
	assert.match(
		gaps.said,
		/ {2}gaps +gaps +Missing: web-01: the trace has no end here.* \[gap_declared\]\n.*PASS WITH GAPS/,
	);
	const { code, said } = await run(withRoot("0".repeat(64)), file);
	assert.equal(code, 2);
	assert.match(said, / {2}fail +root_given .*\[root_is_another\]/);
	assert.match(said, / {2}skipped +trust_chain +Not judged: it stands on root_given\./);
	assert.match(said, /FAIL {2}Do not rely on this package\.$/);
	const other = join(directory, "other.txt");
	writeFileSync(other, "not a package");
	assert.equal((await run(withRoot(), other)).code, 2);
});

test("solo mode is said", async () => {
	const command = signedCommand({ targetAgent: "web-01" }, ["ana"]);
	const solo = await makeTestPackage({ trust: { mode: "solo", traceApprovals: 0 }, command });
	const path = join(directory, "solo.zip");
	writeFileSync(path, sealTestPackage(solo.input));
	assert.match((await run(withRoot(solo.rootFingerprint), path)).said, /solo mode: one person alone/);
	assert.doesNotMatch((await run(withRoot(), file)).said, /solo mode/);
});

test("JSON is one object with verdict, checks and the package's hash", async () => {
	const { said } = await run({ ...withRoot(), json: true }, file);
	const verdict = JSON.parse(said) as PackageVerdict & { packageSha256: string };
	assert.equal(verdict.verdict, "PASS");
	assert.match(verdict.packageSha256, /^[0-9a-f]{64}$/);
	assert.deepEqual(verdict.checks[0]?.name, "package_canonical");
});

const usages: [string, () => Promise<Ran>, RegExp][] = [
	["no package", () => run(withRoot()), /Which package\? usage/],
	["two packages", () => run(withRoot(), file, file), /One package at a time/],
	["no root", () => run({}, file), /--root-fingerprint HEX[\s\S]+Ask the owner of the enclave[\s\S]+proves nothing/],
	["two roots", () => run({ ...withRoot(), root: "x" }, file), /not both/],
	["a fingerprint that is too short", () => run(withRoot("abcd"), file), /64 hex digits, this one 4 characters/],
	[
		"a root file that is not there",
		() => run({ root: join(directory, "none") }, file),
		/none cannot be read \(ENOENT\)/,
	],
	["a root file with two certificates", () => run({ root: join(directory, "chain.pem") }, file), /holds 2 readable/],
	["a root file that is none", () => run({ root: join(directory, "usage.txt") }, file), /holds 0 readable/],
	[
		"a package that is not there",
		() => run(withRoot(), join(directory, "no\u001b[2J")),
		/no\\u001b\[2J cannot be read/,
	],
	["a folder", () => run(withRoot(), directory), /cannot be read \(EISDIR\)/],
];
for (const [what, ask, says] of usages)
	test(`${what} is a usage error, 3, and says what to do`, async () => {
		writeFileSync(join(directory, "usage.txt"), "hello");
		const { code, said, complained } = await ask();
		assert.deepEqual([code, said], [3, ""]);
		assert.match(complained, says);
	});

test("text from a package cannot move the cursor", async () => {
	const path = join(directory, "hostile.zip");
	writeFileSync(path, writeZip(new Map([["manifest.json", new TextEncoder().encode("{}")]])));
	assert.equal((await run(withRoot(), path)).code, 2);
	const verdict: PackageVerdict = {
		verdict: "FAIL",
		traceId: "T\u001b[2J",
		enclave: "lab\u202e",
		mode: "solo",
		exporter: null,
		checks: [{ name: "gaps", outcome: "fail", code: "gap_declared", detail: "a\u001b[31m\nb" }],
	};
	const shown = renderVerdict(verdict, "00");
	assert.match(shown, /T\\u001b\[2J of enclave lab\\u202e/);
	assert.match(shown, /a\\u001b\[31m\\u000ab \[gap_declared\]/);
	assert.equal(shown.includes("\u001b"), false);
});

test("whatever breaks is a FAIL, 2: never the 1 with which Node ends what broke", async () => {
	const complained: string[] = [];
	const output = {
		say: (): void => {
			throw new RangeError("Invalid time value\u001b");
		},
		complain: (line: string) => complained.push(line),
	};
	assert.equal(await runVerify(withRoot(), [file], output), 2);
	assert.deepEqual(complained, ["FAIL  The verifier broke: RangeError: Invalid time value\\u001b."]);
});

/** The package with one event beyond every date, signed for by nobody. */
function withHugeTime(): Uint8Array {
	const files = readZip(sealTestPackage(made.input));
	assert(files.ok);
	const [name, data] = [...files.value].find(([each]) => each.startsWith("events/web-01/")) as [string, Uint8Array];
	const late = new Uint8Array(data);
	const wallTime = Buffer.from("041b", "hex");
	let found = 0;
	for (let at = late.indexOf(4); at >= 0; at = late.indexOf(4, at + 1)) {
		if (!wallTime.equals(late.subarray(at, at + 2))) continue;
		new DataView(late.buffer).setBigUint64(at + 2, BigInt(Number.MAX_SAFE_INTEGER));
		found++;
	}
	assert.ok(found > 0);
	return writeZip(new Map([...files.value, [name, late]]));
}

test("a time that no date can hold, put in by anyone, is a FAIL by name", async () => {
	const path = join(directory, "late.zip");
	writeFileSync(path, withHugeTime());
	const { code, said } = await run(withRoot(), path);
	assert.equal(code, 2);
	assert.match(said, /fail +manifest_subjects/);
	assert.doesNotMatch(said, /verifier_fault/);
});

/** The exit code of a verifier whose reader has gone before it speaks. */
async function exitWithoutReader(command: string, ...args: string[]): Promise<number | null> {
	const child = spawn(command, args, { stdio: ["ignore", "pipe", "ignore"] });
	child.stdout?.destroy();
	const [code] = (await once(child, "exit")) as [number | null];
	return code;
}

test("a verdict that nobody could read is a FAIL for scripts, by both programs", async () => {
	const args = [resolve(file), "--root-fingerprint", made.rootFingerprint];
	assert.equal(await exitWithoutReader(process.execPath, "--conditions=node", "verify/main.ts", ...args), 2);
	assert.equal(await exitWithoutReader("cli/daemoneye", "verify", ...args), 2);
});

test("the bundle is one file that verifies on plain Node from an empty folder", () => {
	const empty = join(directory, "empty");
	mkdirSync(empty);
	const outfile = join(empty, "verify.mjs");
	const built = spawnSync(process.execPath, ["--conditions=node", "tools/build-node.ts", "verify", outfile], {
		encoding: "utf8",
	});
	assert.equal(built.status, 0, built.stderr);
	assert.deepEqual(readdirSync(empty), ["verify.mjs"]);
	const verify = (...args: string[]) =>
		spawnSync(process.execPath, [outfile, ...args], { cwd: empty, encoding: "utf8", env: {} });
	const good = verify(resolve(file), "--root-fingerprint", made.rootFingerprint);
	assert.deepEqual([good.status, good.stderr], [0, ""]);
	assert.match(good.stdout, /\nPASS {2}/);
	assert.equal(verify(resolve(file), "--root-fingerprint", "0".repeat(64)).status, 2);
	assert.equal(verify("--bogus").status, 3);
	const help = verify("--help");
	assert.equal(help.status, 0);
	assert.match(
		help.stdout,
		/example: node verify\.mjs .+\n {2}exit: 0 PASS, 1 PASS WITH GAPS, 2 FAIL \(also when .+\), 3 usage/,
	);
});
