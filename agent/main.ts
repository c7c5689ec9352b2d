/**
 * The agent's process: arguments, configuration, exit codes. Started by the launcher with a stream socket to procmond on
 * descriptor 3. Guarantees that it ends with a documented code and one sentence, and that on SIGTERM everything in memory is
 * sealed and on disk first. Must never start another program.
 */
import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { parseArgs } from "node:util";
import { fail, ok, type Result } from "#core/result.ts";
import { Agent } from "./agent.ts";
import { type AgentConfig, parseConfig } from "./config/config.ts";
import { retireGenesisFile } from "./config/genesis-file.ts";
import { type LoadedIdentity, loadIdentity } from "./config/identity.ts";
import { type DataDir, openDataDir } from "./data-dir.ts";
import { openSealedDisk, type SealedDisk } from "./disk-key/disk-key.ts";
import { AGENT_LIMITS } from "./limits.ts";
import { createLog, type Log } from "./log.ts";
import { DiskFailure } from "./outbox/storage.ts";
import { TrustStore } from "./trust-store.ts";

const EXIT = { ok: 0, fault: 1, config: 2, clock: 3, identity: 4, capture: 5, disk: 6 } as const;
type ExitName = keyof typeof EXIT;

const COLLECTOR_DESCRIPTOR = 3;

const HELP = `The DaemonEye agent: takes events from procmond, seals them, sends them to its proxy or Security Center.

  agent/main.ts --config FILE            run; needs procmond on descriptor 3, as the launcher arranges
  agent/main.ts --config FILE --check    read configuration and identity, say what is wrong, start nothing
  agent/main.ts --help

Start:
  launch --procmond build/procmond -- node agent/main.ts --config /etc/daemoneye/agent.yaml

Example of FILE (relative paths are relative to it; the agent's id is in its certificate):
  agent:
    proxy_hint: px-us-east-1a.local:7443              # or a list, best first: [px-a:7443, px-b:7443]
    site_tag: us-east-1a
    tls:
      cert: /var/lib/daemoneye/identity/node.crt      # leaf, then issuing CA
      key: /var/lib/daemoneye/identity/node.key
      ca: /var/lib/daemoneye/identity/ca.pem
    identity:
      signing_key: /var/lib/daemoneye/identity/signing.key  # 32 bytes
      binding: /var/lib/daemoneye/identity/binding.cbor
      # Trust document version 0; sealed into data_dir at the first start, then removed.
      genesis: /var/lib/daemoneye/identity/genesis.cbor
      root: /var/lib/daemoneye/identity/ca.pem
    data_dir: /var/lib/daemoneye/data
    stream:
      batch_max_events: 2000
      batch_max_ms: 250
      events_per_sec_max: 10000          # of the baseline; what is above becomes a gap record
    trace:
      default_depth: 6                   # for commands that name no depth
      privacy_mask_args: true            # false only where the trust document allows it
      events_per_sec_max: 2000           # of one trace
      bytes_max: 536870912               # of one trace in the outbox; then it is sealed
    failover:                            # with a list: when a better proxy is taken back
      probe_secs: 10                     # asked this often
      stable_secs: 30                    # and well for so long, up to twice that
    look_back:
      secs: 30                           # what a trace tells of the time before it, from memory
      bytes_max: 4194304
    outbox:
      bytes_max: 268435456
    capture:
      scope_cgroup: ""                   # empty = the whole machine
      source: auto                       # auto; ebpf, netlink or proc force a tier
      poll_ms: 200                       # netlink (connections) and proc
      poll_connections: true             # netlink and proc

Exit codes: 0 stopped; 1 fault in the agent; 2 arguments or configuration; 3 the clock is wrong; 4 certificate, keys or
trust documents; 5 procmond is not there or failed; 6 the disk failed, data_dir is taken, or the disk key is missing or wrong.

Everything in data_dir is sealed by the disk key: the systemd credential daemoneye-disk-key, else data_dir/disk.key (0600).
`;

interface Prepared {
	readonly config: AgentConfig;
	readonly identity: LoadedIdentity;
}

function say(sentence: string): void {
	process.stderr.write(`daemoneye-agent: ${sentence}\n`);
}

async function prepare(path: string): Promise<Result<Prepared, ExitName>> {
	let text: string;
	try {
		text = readFileSync(path, "utf8");
	} catch (error) {
		return fail("config", `The configuration ${path} cannot be read: ${(error as Error).message}.`);
	}
	const config = parseConfig(text, path);
	if (!config.ok) return fail("config", config.detail);
	const identity = await loadIdentity(config.value, Date.now());
	if (identity.ok) return ok({ config: config.value, identity: identity.value });
	const exits = { file_unreadable: "config", clock_wrong: "clock", identity_invalid: "identity" } as const;
	return fail(exits[identity.code], identity.detail);
}

function openSocket(): Result<Socket, ExitName> {
	try {
		return ok(new Socket({ fd: COLLECTOR_DESCRIPTOR, readable: true, writable: true }));
	} catch (error) {
		return fail(
			"capture",
			`There is no procmond on descriptor ${COLLECTOR_DESCRIPTOR} (${(error as Error).message}); start the agent by the launcher.`,
		);
	}
}

function exitOf(kind: "capture" | "fault", error: Error): ExitName {
	if (error instanceof DiskFailure) return "disk";
	return kind;
}

function sentenceOf(name: ExitName, error: Error): string {
	return name === "fault" ? `A fault in the agent: ${error.stack ?? error.message}` : error.message;
}

interface OpenedState {
	readonly dataDir: DataDir;
	readonly disk: SealedDisk;
	readonly trust: TrustStore;
}

/** Opens what lies on the disk: lock, key, trust. Throws `DiskFailure`. */
function openState({ config, identity }: Prepared, log: Log): Result<OpenedState, ExitName> {
	const dataDir = openDataDir(config.dataDir);
	if (!dataDir.ok) return fail("disk", dataDir.detail);
	const disk = openSealedDisk({ ...dataDir.value, credentials: process.env.CREDENTIALS_DIRECTORY });
	if (!disk.ok) return fail("disk", disk.detail);
	log("disk_key", { source: disk.value.keySource });
	const trust = TrustStore.open(disk.value.files, identity.genesis, log);
	if (!trust.ok) return fail("identity", `The trust documents: ${trust.detail}.`);
	retireGenesisFile(config.identity, log);
	return ok({ dataDir: dataDir.value, disk: disk.value, trust: trust.value });
}

/** Runs until a signal or a failure; resolves with the exit code's name. */
function run(prepared: Prepared): Promise<ExitName> {
	const { config, identity } = prepared;
	const log = createLog((line) => process.stderr.write(line), Date.now);
	const refuse = (name: ExitName, sentence: string) => {
		say(sentence);
		return Promise.resolve(name);
	};
	let state: Result<OpenedState, ExitName>;
	try {
		state = openState(prepared, log);
	} catch (error) {
		const name = exitOf("fault", error as Error);
		return refuse(name, sentenceOf(name, error as Error));
	}
	if (!state.ok) return refuse(state.code, state.detail);
	const { trust } = state.value;
	const socket = openSocket();
	if (!socket.ok) return refuse(socket.code, socket.detail);
	return new Promise((resolve) => {
		let agent: Agent | null = null;
		let isEnding = false;
		const end = (name: ExitName, sentence: string | null) => {
			if (isEnding) return;
			isEnding = true;
			if (sentence !== null) say(sentence);
			// After a disk failure nothing more is written: nobody knows what the last write left.
			if (name === "disk" || name === "fault") return resolve(name);
			try {
				agent?.stop(name === "capture" ? "collector_lost" : "agent_stopped");
			} catch (error) {
				const failed = exitOf("fault", error as Error);
				say(sentenceOf(failed, error as Error));
				return resolve(failed);
			}
			setTimeout(() => resolve(name), AGENT_LIMITS.stopGraceMs);
		};
		const onFatal = (kind: "capture" | "fault", error: Error) => {
			const name = exitOf(kind, error);
			// A failure during the constructor must not run before there is an agent to stop.
			setImmediate(() => end(name, sentenceOf(name, error)));
		};
		for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => end("ok", null));
		try {
			agent = new Agent({
				config,
				identity,
				...state.value,
				log,
				socket: socket.value,
				onFatal,
			});
			log("agent_started", { agent: identity.link.agent, trustVersion: trust.document.version });
		} catch (error) {
			onFatal("fault", error as Error);
		}
	});
}

async function main(): Promise<ExitName> {
	let values: { config?: string | undefined; check?: boolean | undefined; help?: boolean | undefined };
	try {
		const options = { config: { type: "string" }, check: { type: "boolean" }, help: { type: "boolean" } } as const;
		values = parseArgs({ options, strict: true }).values;
	} catch (error) {
		say(`${(error as Error).message}. See --help.`);
		return "config";
	}
	if (values.help === true) {
		process.stdout.write(HELP);
		return "ok";
	}
	if (values.config === undefined) {
		say("--config FILE is missing; --help shows an example.");
		return "config";
	}
	const prepared = await prepare(values.config);
	if (!prepared.ok) {
		say(prepared.detail);
		return prepared.code;
	}
	if (values.check !== true) return run(prepared.value);
	const { link, notAfterMs } = prepared.value.identity;
	process.stdout.write(
		`${link.agent} of ${link.enclave}: configuration and identity are good until ${new Date(notAfterMs).toISOString()}.\n`,
	);
	return "ok";
}

process.exit(EXIT[await main()]);
