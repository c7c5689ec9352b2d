import assert from "node:assert/strict";
import { test } from "node:test";
import { isMaskingInForce, maskCmdline, maskEnvironment } from "./mask.ts";

test("the program and bare option names stay, every value goes", () => {
	assert.deepEqual(maskCmdline(["mysql", "-u", "root", "--password=hunter2", "--host", "db", "-phunter2", "-"]), [
		"mysql",
		"-u",
		"***",
		"--password=***",
		"--host",
		"***",
		"***",
		"-",
	]);
});

test("what only looks like an option is a value", () => {
	for (const argument of ["--a b", "--pass word=x", "-é", "--", "---x", "--=secret", "-ab", "--näme", "--x\nsecret"]) {
		const [, masked] = maskCmdline(["p", argument]);
		assert.ok(masked === "***" || argument === "--", argument);
	}
});

test("after the separator everything is a value, also what looks like an option", () => {
	assert.deepEqual(maskCmdline(["git", "--quiet", "--", "--name", "-p", "-", "--", "--a=b", "x"]), [
		"git",
		"--quiet",
		"--",
		...Array.from({ length: 6 }, () => "***"),
	]);
	assert.deepEqual(maskCmdline(["--", "-v"]), ["--", "-v"], "a program's own name separates nothing");
});

test("a key behind two hyphens is a value, an option's name is not", () => {
	const hex = "3f8a1c0d";
	for (const key of [hex.repeat(8), hex.repeat(4), `${hex}${hex}`, "f3a81c0d5", "1234", "a".repeat(33), "x-12345"]) {
		assert.deepEqual(maskCmdline(["p", `--${key}`, `--${key}=v`]), ["p", "***", "***"], key);
	}
	const names = ["a".repeat(32), "sha512", "ipv6", "x509-cert", "utf-8", "max-http2-streams", "iso-8859", "V"];
	for (const name of names)
		assert.deepEqual(maskCmdline(["p", `--${name}`, `--${name}=v`]), ["p", `--${name}`, `--${name}=***`]);
});

test("a value keeps not even its length", () => {
	assert.equal(maskCmdline(["p", "a"])[1], maskCmdline(["p", "a".repeat(5000)])[1]);
	assert.deepEqual(maskCmdline(["p", ""]), ["p", "***"]);
});

test("a value behind the sign may hold line ends and more signs", () => {
	assert.deepEqual(maskCmdline(["p", "--env=A=b\nC=d"]), ["p", "--env=***"]);
});

test("a program that writes its state over argv[0] shows its name only", () => {
	assert.deepEqual(maskCmdline(["nginx: worker --token abc"]), ["nginx: ***"]);
	assert.deepEqual(maskCmdline(["/opt/my-app/bin/run"]), ["/opt/my-app/bin/run"]);
	assert.deepEqual(maskCmdline([]), []);
});

test("clear arguments need the site's wish and the trust document's leave", () => {
	assert.equal(isMaskingInForce({ masksArgs: false }, { isMaskingRequired: false }), false);
	assert.equal(isMaskingInForce({ masksArgs: false }, { isMaskingRequired: true }), true);
	assert.equal(isMaskingInForce({ masksArgs: true }, { isMaskingRequired: false }), true);
});

test("an environment keeps its names and no value, not even its length", () => {
	assert.deepEqual(maskEnvironment(["LD_PRELOAD=/tmp/x.so", "A=", "B=c=d\ne"]), ["LD_PRELOAD=***", "A=***", "B=***"]);
	for (const variable of ["secret", "=secret", "a b=secret", "é=secret", "1A=secret", ""])
		assert.deepEqual(maskEnvironment([variable]), ["***"], variable);
});
