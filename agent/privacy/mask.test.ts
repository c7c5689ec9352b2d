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
