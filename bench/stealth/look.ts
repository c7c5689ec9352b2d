/**
 * What a user of the host can see, as lines of sections: processes, what /proc tells of the endpoint and of a target, sockets,
 * mounts, files that changed, kernel objects. Looked at by a shell script with the tools every host has, once as root and once as
 * nobody. Must never change what it looks at.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fail, ok, type Result } from "#core/result.ts";

export type Looker = "nobody" | "root";
export const LOOKERS: readonly Looker[] = ["nobody", "root"];
/** The uid that owns nothing, everywhere. */
const NOBODY = 65_534;

/** Items by section; an item that is there twice is there once. */
export type Look = ReadonlyMap<string, ReadonlySet<string>>;

export interface LookTarget {
	/** Files changed since this one count as changed. */
	readonly marker: string;
	readonly endpointPids: readonly number[];
	readonly targetPid: number;
}

const SCRIPT = readFileSync(join(import.meta.dirname, "look.sh"), "utf8");

export function parseLook(text: string): Look {
	const look = new Map<string, Set<string>>();
	for (const line of text.split("\n")) {
		const tab = line.indexOf("\t");
		if (tab < 0) continue;
		const section = line.slice(0, tab);
		const items = look.get(section) ?? new Set();
		items.add(line.slice(tab + 1).trim());
		look.set(section, items);
	}
	return look;
}

export async function takeLook(looker: Looker, target: LookTarget): Promise<Result<Look, "look_failed">> {
	const { marker, endpointPids, targetPid } = target;
	const argv = ["-c", SCRIPT, "look", marker, endpointPids.join(","), String(targetPid)];
	const identity = looker === "root" ? {} : { uid: NOBODY, gid: NOBODY };
	const child = spawn("/bin/sh", argv, {
		...identity,
		cwd: "/",
		env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
		stdio: ["ignore", "pipe", "ignore"],
	});
	let text = "";
	child.stdout.setEncoding("utf8").on("data", (part: string) => {
		text += part;
	});
	const { promise, resolve } = Promise.withResolvers<number | null>();
	child.on("error", () => resolve(null));
	child.on("close", resolve);
	await promise;
	const look = parseLook(text);
	return look.has("process") ? ok(look) : fail("look_failed", `${looker} saw no process: is /bin/sh there, and ps?`);
}
