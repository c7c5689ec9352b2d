import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { makeTestPackage, sealTestPackage, type TestPackage } from "#core/verify/testing/enclave.ts";
import { HOWTO } from "./howto.ts";
import { readZip } from "./zip.ts";

/** The commands of a numbered step, as a reader would copy them. */
function commandsOf(step: number): string {
	const section = HOWTO.slice(HOWTO.indexOf(`\n${step}. `), HOWTO.indexOf(`\n${step + 1}. `));
	const lines = section.split("\n").filter((line) => line.startsWith("  "));
	assert.ok(lines.length > 0);
	return lines.join("\n").replaceAll("TRUST.cbor", "1.cbor");
}

const directory = mkdtempSync(join(tmpdir(), "daemoneye-howto-"));
const unpacked = join(directory, "package");
let made: TestPackage;
before(async () => {
	made = await makeTestPackage();
	const files = readZip(sealTestPackage(made.input));
	assert(files.ok);
	for (const [name, data] of files.value) {
		mkdirSync(dirname(join(unpacked, name)), { recursive: true });
		writeFileSync(join(unpacked, name), data);
	}
});
after(() => rmSync(directory, { recursive: true }));

function sh(script: string): { status: number | null; out: string } {
	const { status, stdout, stderr } = spawnSync("sh", ["-c", script], { cwd: unpacked, encoding: "utf8" });
	return { status, out: stdout + stderr };
}

test("by hand: the root's fingerprint is the one the owner tells", () => {
	assert.equal(sh(commandsOf(1)).out.split(" ")[0], made.rootFingerprint);
});

test("by hand: the files are those of the manifest, and a changed or added one shows", () => {
	const good = sh(commandsOf(2));
	assert.match(good.out, /^FILES OK\n(\d+)\n\1\n$/);
	writeFileSync(join(unpacked, "pki", "extra"), "x");
	assert.doesNotMatch(sh(commandsOf(2)).out, /\n(\d+)\n\1\n$/);
	rmSync(join(unpacked, "pki", "extra"));
	writeFileSync(join(unpacked, "view", "events.ndjson"), "x");
	assert.doesNotMatch(sh(commandsOf(2)).out, /FILES OK/);
});

test("by hand: the exporter's signature verifies with openssl, and not over a changed manifest", () => {
	assert.match(sh(commandsOf(3)).out, /Signature Verified Successfully/);
	writeFileSync(join(unpacked, "manifest.json"), "{}");
	assert.doesNotMatch(sh(commandsOf(3)).out, /Verified Successfully/);
});

test("the text is plain ASCII, so it reads the same everywhere", () => {
	assert.match(HOWTO, /^[\t\n -~]*$/);
});
