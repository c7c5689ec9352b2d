import { deepEqual, equal, match } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CHECK_NAMES } from "#core/verify/index.ts";
import { makeTestPackage, sealTestPackage, type TestPackage } from "#core/verify/testing/enclave.ts";
import { runVerify, VERIFY_EXIT } from "./command.ts";

let directory: string;
let made: TestPackage;
let file: string;
before(async () => {
	directory = mkdtempSync(join(tmpdir(), "daemoneye-verify-"));
	made = await makeTestPackage();
	file = join(directory, "case.depkg");
	writeFileSync(file, sealTestPackage(made.input));
	writeFileSync(join(directory, "root.der"), made.input.root);
	const base64 = Buffer.from(made.input.root).toString("base64");
	writeFileSync(join(directory, "root.pem"), `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`);
});
after(() => rmSync(directory, { recursive: true }));

async function run(values: Record<string, unknown>, ...files: string[]): Promise<[number, string]> {
	let out = "";
	const take = (line: string) => {
		out += `${line}\n`;
	};
	return [await runVerify(values, files, { say: take, complain: take }), out];
}

test("a good package ends with PASS and 0, by fingerprint, by PEM and by DER", async () => {
	for (const root of [
		{ "root-fingerprint": made.rootFingerprint },
		{ root: join(directory, "root.pem") },
		{ root: join(directory, "root.der") },
	]) {
		const [code, out] = await run(root, file);
		equal(code, VERIFY_EXIT.pass, out);
		match(out, /^PASS /m);
	}
});

test("a trace that was not ended ends with 1, another root with 2 and the check's name", async () => {
	const open = await makeTestPackage({ batches: (told) => told.slice(0, -1) });
	const path = join(directory, "open.depkg");
	writeFileSync(path, sealTestPackage(open.input));
	equal((await run({ "root-fingerprint": open.rootFingerprint }, path))[0], VERIFY_EXIT.gaps);
	const [code, out] = await run({ "root-fingerprint": made.rootFingerprint }, path);
	equal(code, VERIFY_EXIT.fail);
	match(out, /fail\s+root_given/);
});

test("JSON carries the verdict and every check", async () => {
	const [, out] = await run({ json: true, "root-fingerprint": made.rootFingerprint }, file);
	const report = JSON.parse(out) as { verdict: string; checks: unknown[] };
	deepEqual([report.verdict, report.checks.length], ["PASS", CHECK_NAMES.length]);
});

test("without the reader's root, with two of them, or without a readable file the usage code answers", async () => {
	const fingerprint = { "root-fingerprint": made.rootFingerprint };
	equal((await run({}, file))[0], VERIFY_EXIT.usage);
	equal((await run({ ...fingerprint, root: file }, file))[0], VERIFY_EXIT.usage);
	equal((await run(fingerprint))[0], VERIFY_EXIT.usage);
	equal((await run(fingerprint, join(directory, "none")))[0], VERIFY_EXIT.usage);
	equal((await run({ root: join(directory, "none") }, file))[0], VERIFY_EXIT.usage);
});
