/**
 * Finding and calling the system programs the demo's hosts are made of. A program is looked for in PATH and in the
 * system directories, because root's PATH often lacks `sbin`. Nothing here goes through a shell with text from
 * elsewhere: arguments are passed as a list.
 */

import { spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { fail, ok, type Result } from "#core/result.ts";
import { demoLimits } from "./limits.ts";

const toolNames = ["apache2", "bash", "ip", "nsenter", "ssh", "ssh-keygen", "sshd", "unshare"] as const;

export type ToolName = (typeof toolNames)[number];

/** Absolute path of every program the hosts need. */
export type Tools = Readonly<Record<ToolName, string>>;

/** The environment of every program on a demo host: nothing of the caller's own environment goes in. */
export const hostEnvironment = {
	PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	LANG: "C.UTF-8",
} as const;

/** Where programs are looked for: the caller's PATH first, then the system's directories. */
export function toolDirectories(): readonly string[] {
	return `${process.env.PATH ?? ""}:${hostEnvironment.PATH}`.split(":").filter((directory) => directory !== "");
}

/** Finds all programs in the directories, or names the ones that are missing. */
export function findTools(directories: readonly string[]): Result<Tools, "tool_missing"> {
	const found: Partial<Record<ToolName, string>> = {};
	const missing: string[] = [];
	for (const name of toolNames) {
		const file = directories.map((directory) => join(directory, name)).find(isExecutable);
		if (file === undefined) missing.push(name);
		else found[name] = file;
	}
	if (missing.length > 0) return fail("tool_missing", `not installed: ${missing.join(", ")}`);
	return ok(found as Tools);
}

function isExecutable(file: string): boolean {
	try {
		accessSync(file, constants.X_OK);
		return true;
	} catch {
		return false;
	}
}

/** Runs one setup tool to its end. The failure's detail is what the tool said last. */
export function runTool(argv: readonly string[], input = ""): Promise<Result<string, "namespace_refused">> {
	const [file = "", ...args] = argv;
	return new Promise((resolve) => {
		const child = spawn(file, args, { env: { ...hostEnvironment }, timeout: demoLimits.toolMaxMs });
		let stdout = "";
		let stderr = "";
		child.stdout.on("data", (chunk) => {
			stdout += chunk;
		});
		child.stderr.on("data", (chunk) => {
			stderr += chunk;
		});
		child.on("error", (error) => resolve(fail("namespace_refused", `${file}: ${error.message}`)));
		// A tool that ends without reading its input shows as its exit status; the broken pipe adds nothing to that.
		child.stdin.on("error", () => undefined);
		child.on("close", (status, signal) => {
			if (status === 0) resolve(ok(stdout));
			else
				resolve(
					fail("namespace_refused", `${file} ${args.join(" ")}: ${lastLine(stderr) || `ended by ${signal ?? status}`}`),
				);
		});
		child.stdin.end(input);
	});
}

/** The last line with text in it, trimmed; empty when there is none. */
export function lastLine(text: string): string {
	return text.trimEnd().split("\n").at(-1)?.trim() ?? "";
}

/**
 * The argument list that starts a program inside a cgroup: a shell moves itself in and then becomes the program, so
 * not one instruction of the program, and no child of it, runs outside.
 */
export function insideCgroup(cgroupDirectory: string, argv: readonly string[]): readonly string[] {
	return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', `${cgroupDirectory}/cgroup.procs`, ...argv];
}

/** Looks at a state again and again until it holds; false when `maxMs` passed first. */
export async function waitUntil(holds: () => boolean, maxMs: number): Promise<boolean> {
	const deadlineMs = performance.now() + maxMs;
	while (!holds()) {
		if (performance.now() >= deadlineMs) return false;
		await new Promise((resolve) => setTimeout(resolve, demoLimits.pollMs));
	}
	return true;
}
