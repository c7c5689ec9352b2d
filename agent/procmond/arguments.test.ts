/**
 * What the collector's programs say to wrong arguments, and its Makefile to a machine that lacks something: one sentence that names
 * what is wrong. Skipped by name where the programs are not built.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const BUILD = join(import.meta.dirname, "build");
const skip = ["procmond", "launch", "framedump"].every((name) => existsSync(join(BUILD, name)))
	? false
	: "procmond is not built";

function start(program: string, args: readonly string[]) {
	return spawnSync(join(BUILD, program), args, { encoding: "utf8", timeout: 10_000, input: "" });
}

test("a wrong argument is refused with one sentence that names it", { skip }, () => {
	const dump = ["--procmond", join(BUILD, "procmond")];
	for (const [program, args, said] of [
		["procmond", ["--peer-uid", "-1"], "--peer-uid -1 is not a user id"],
		["procmond", ["--peer-uid", "4294967295"], "--peer-uid 4294967295 is not"],
		["procmond", ["--peer-uid", "18446744073709551616"], "--peer-uid 18446744073709551616 is not"],
		["procmond", ["--fd", "99999999999"], "--fd 99999999999 is not a descriptor"],
		["procmond", ["--fd", "-1"], "--fd -1 is not a descriptor"],
		["procmond", ["--fd", "3x"], "--fd 3x is not a descriptor"],
		["launch", ["--procmond", "x", "--agent-user", "nosuch-user", "--", "y"], "there is no user nosuch-user"],
		["framedump", [...dump, "--source", "bogus"], "--source bogus is not understood"],
		["framedump", [...dump, "--seconds", "abc"], "--seconds abc is not understood"],
		["framedump", [...dump, "--poll-ms", "5x"], "--poll-ms 5x is not understood"],
	] as const) {
		const done = start(program, args);
		assert.equal(done.status, 2, `${program} ${args.join(" ")}`);
		assert(done.stderr.includes(said), done.stderr);
		assert.equal(done.stderr.trimEnd().split("\n").length, 1, done.stderr);
	}
});

test("-h is --help, and procmond's says all that it looks at", { skip }, () => {
	for (const program of ["procmond", "launch", "framedump"]) {
		const short = start(program, ["-h"]);
		assert.equal(short.status, 0, program);
		assert.equal(short.stdout, start(program, ["--help"]).stdout);
	}
	const help = start("procmond", ["--help"]).stdout.replace(/\s+/g, " ");
	for (const word of ["watched and credential files", "hashes", "headers of traced programs in memory"])
		assert(help.includes(word), word);
});

test("the Makefile names the package that is missing", { skip }, () => {
	const empty = mkdtempSync(join(tmpdir(), "procmond-make-"));
	try {
		for (const [lack, target, said] of [
			["CLANG=no-such-clang", "procmond.bpf.o", "install the package clang"],
			["BPFTOOL=no-such-bpftool", "vmlinux.h", "install the package bpftool"],
			["VMLINUX_BTF=/no-such-file", "vmlinux.h", "this kernel has no BTF"],
			["CRYPTO_HEADER=no-such-header.h", "hash_file.o", "install the package libssl-dev"],
		] as const) {
			// Kernel types are slow to make; an empty file is enough for the step behind them.
			const types = target === "procmond.bpf.o" ? ["-o", join(empty, "vmlinux.h")] : [];
			const made = spawnSync(
				"make",
				["-C", import.meta.dirname, "-s", ...types, `B=${empty}`, lack, join(empty, target)],
				{
					encoding: "utf8",
				},
			);
			assert.equal(made.status, 2, lack);
			assert(made.stderr.includes(said), made.stderr);
		}
	} finally {
		rmSync(empty, { recursive: true });
	}
});
