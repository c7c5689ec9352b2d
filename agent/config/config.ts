/**
 * The agent's configuration: YAML in the seed's shape, strict. Guarantees that a key nobody reads, a wrong type or a value out of
 * range stops the start with one sentence that names key and line; a typing error never becomes a default. The agent's id is not
 * here: its certificate says it.
 */
import { dirname, resolve } from "node:path";
import {
	addressSetting,
	choiceSetting,
	flagSetting,
	groupSetting,
	integerSetting,
	oneOrMoreSetting,
	type SettingOf,
	splitHostPort,
	textSetting,
} from "#core/config/strict-tree.ts";
import { type ConfigTextCode, readYaml } from "#core/config/yaml-text.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { PARENT_LIMITS, type ParentTimes } from "#core/protocol/index.ts";
import { ok, type Result } from "#core/result.ts";
import type { CaptureConfig } from "../capture/collector.ts";
import { AGENT_LIMITS } from "../limits.ts";
import type { LinkTarget } from "../link/server-identity.ts";
import type { LookBackLimits } from "../lookback/look-back.ts";
import type { TraceCaps } from "../trace/traces.ts";

export interface AgentConfig {
	/** Proxies in order of preference. */
	readonly targets: readonly LinkTarget[];
	/** When a preferred proxy is taken back. */
	readonly parentTimes: ParentTimes;
	readonly siteTag: string;
	/** Paths, absolute. */
	readonly tls: { readonly cert: string; readonly key: string; readonly ca: string };
	readonly identity: {
		readonly signingKey: string;
		readonly binding: string;
		readonly genesis: string;
		readonly root: string;
	};
	readonly dataDir: string;
	readonly stream: { readonly batchMaxEvents: number; readonly batchMaxMs: number };
	/** Events of the baseline; what is above becomes a gap record. */
	readonly eventsPerSecMax: number;
	readonly trace: { readonly defaultDepth: number; readonly masksArgs: boolean; readonly caps: TraceCaps };
	readonly lookBack: LookBackLimits;
	readonly outboxBytesMax: number;
	readonly capture: CaptureConfig;
}

const path = () => textSetting("the path of a file or directory");

const configSetting = groupSetting({
	agent: groupSetting({
		proxy_hint: oneOrMoreSetting(addressSetting("px-us-east-1a.local:7443"), PARENT_LIMITS.listMax),
		site_tag: textSetting("a short name", /^[A-Za-z0-9._-]{1,64}$/, "default"),
		tls: groupSetting({ cert: path(), key: path(), ca: path() }),
		identity: groupSetting({ signing_key: path(), binding: path(), genesis: path(), root: path() }),
		data_dir: path(),
		stream: groupSetting(
			{
				batch_max_events: integerSetting({ min: 1, max: MODEL_LIMITS.batchEventsMax, fallback: 2000 }),
				batch_max_ms: integerSetting({ min: 1, max: 60_000, fallback: 250 }),
				// A compile of a large tree on eight cores makes about 5,000 events a second.
				events_per_sec_max: integerSetting({ min: 10, max: 1_000_000, fallback: 10_000 }),
			},
			{ isOptional: true },
		),
		trace: groupSetting(
			{
				default_depth: integerSetting({ min: 1, max: 1000, fallback: 6 }),
				privacy_mask_args: flagSetting(true),
				// One core signs about 10,000 events a second; a trace must not take the host's.
				events_per_sec_max: integerSetting({ min: 10, max: 100_000, fallback: 2000 }),
				bytes_max: integerSetting({ min: 65_536, max: 2 ** 40, fallback: 536_870_912 }),
			},
			{ isOptional: true },
		),
		failover: groupSetting(
			{
				probe_secs: integerSetting({ min: 1, max: 3600, fallback: PARENT_LIMITS.probeSecs }),
				stable_secs: integerSetting({ min: 1, max: 86_400, fallback: PARENT_LIMITS.stableSecs }),
			},
			{ isOptional: true },
		),
		look_back: groupSetting(
			{
				secs: integerSetting({ min: 0, max: 3600, fallback: 30 }),
				// 30 s at 450 events a second of 300 bytes.
				bytes_max: integerSetting({ min: 65_536, max: 2 ** 28, fallback: 4_194_304 }),
			},
			{ isOptional: true },
		),
		outbox: groupSetting(
			{ bytes_max: integerSetting({ min: AGENT_LIMITS.outboxBytesMin, max: 2 ** 40, fallback: 268_435_456 }) },
			{ isOptional: true },
		),
		capture: groupSetting(
			{
				scope_cgroup: textSetting("a path below the cgroup mount", /^[^\0]{0,4095}$/, ""),
				source: choiceSetting(["auto", "ebpf", "netlink", "proc"], "auto"),
				poll_ms: integerSetting({ min: 10, max: 60_000, fallback: 200 }),
				poll_connections: flagSetting(true),
			},
			{ isOptional: true },
		),
	}),
});

function configOf({ agent }: SettingOf<typeof configSetting>, directory: string): AgentConfig {
	const { tls, identity, stream, trace, outbox, capture, look_back, failover } = agent;
	const at = (file: string) => resolve(directory, file);
	return {
		targets: agent.proxy_hint.map(splitHostPort),
		parentTimes: { probeMs: 1000 * failover.probe_secs, stableMs: 1000 * failover.stable_secs },
		siteTag: agent.site_tag,
		tls: { cert: at(tls.cert), key: at(tls.key), ca: at(tls.ca) },
		identity: {
			signingKey: at(identity.signing_key),
			binding: at(identity.binding),
			genesis: at(identity.genesis),
			root: at(identity.root),
		},
		dataDir: at(agent.data_dir),
		stream: { batchMaxEvents: stream.batch_max_events, batchMaxMs: stream.batch_max_ms },
		eventsPerSecMax: stream.events_per_sec_max,
		trace: {
			defaultDepth: trace.default_depth,
			masksArgs: trace.privacy_mask_args,
			caps: { eventsPerSecMax: trace.events_per_sec_max, bytesMax: trace.bytes_max },
		},
		lookBack: { maxAgeMs: look_back.secs * 1000, bytesMax: look_back.bytes_max },
		outboxBytesMax: outbox.bytes_max,
		capture: {
			scopeCgroup: capture.scope_cgroup,
			source: capture.source,
			pollMs: capture.poll_ms,
			pollsConnections: capture.poll_connections,
		},
	};
}

/** Reads the text of a configuration file; relative paths in it are relative to `path`'s directory. */
export function parseConfig(text: string, path: string): Result<AgentConfig, ConfigTextCode> {
	const read = readYaml(text, path, configSetting);
	return read.ok ? ok(configOf(read.value, dirname(resolve(path)))) : read;
}
