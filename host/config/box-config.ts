/**
 * The configuration files of a box: `proxy.yaml` in the seed's shape, `center.yaml` beside it in the same style. Written once at
 * the first start, then the site's own: a start reads them and never changes them.
 */
import {
	addressSetting,
	choiceSetting,
	groupSetting,
	integerSetting,
	oneOrMoreSetting,
	orderSetting,
	risingSetting,
	type Setting,
	type SettingOf,
	textSetting,
} from "#core/config/strict-tree.ts";
import { LANES } from "#core/model/batch.ts";
import { PARENT_LIMITS } from "#core/protocol/index.ts";

/** A node that a proxy delivers to. */
export interface UpstreamSetting {
	/** `host:port`. */
	readonly address: string;
	/** Null where only the address stands: then it is the Security Center. */
	readonly node: { readonly role: "px" | "sc"; readonly id: string } | null;
}

const plainAddress = addressSetting("px-region-1.local:7443, or px/px-region-1@px-region-1.local:7443");

/** `host:port`, or `role/id@host:port`: the address and whom the certificate there must name. */
const upstreamSetting: Setting<UpstreamSetting> = {
	read(value, path) {
		const named = typeof value === "string" ? /^(px|sc)\/([a-z0-9][a-z0-9.-]{0,63})@(.*)$/.exec(value) : null;
		if (named === null) return { address: plainAddress.read(value, path), node: null };
		const [, role, id, address] = named as unknown as [string, "px" | "sc", string, string];
		return { address: plainAddress.read(address, path), node: { role, id } };
	},
};

const GIB = 1024 ** 3;
/** A bound that no disk of a site reaches is no bound; below a batch or two a lane would be closed. */
const waitingSetting = (fallback: number) =>
	integerSetting({ min: 16 * 1024 * 1024, max: 1024 * 1024 * GIB, fallback });

/** Room for evidence on a box (durable/limits.ts says why these numbers). Bulk is refused first, then alert, trace last. */
const diskSetting = groupSetting(
	{
		used_percent_max: risingSetting(["bulk", "alert", "trace"], {
			min: 1,
			max: 100,
			fallback: { bulk: 85, alert: 90, trace: 95 },
		}),
		// Less than this is no reserve on any disk. The larger one is bulk's, which is refused first.
		free_bytes_enough: risingSetting(["trace", "alert", "bulk"], {
			...{ min: 16 * 1024 * 1024, max: 1024 * 1024 * GIB },
			fallback: { trace: 2 * GIB, alert: 5 * GIB, bulk: 8 * GIB },
		}),
		waiting_bytes_max: groupSetting(
			{ bulk: waitingSetting(64 * GIB), alert: waitingSetting(8 * GIB), trace: waitingSetting(32 * GIB) },
			{ isOptional: true },
		),
	},
	{ isOptional: true },
);
export type DiskConfig = SettingOf<typeof diskSetting>;

/** The seed's proxy configuration (SEED §13); `disk` and `health` are ours: the latter is where the supervisor asks, loopback only. */
export const proxyConfigSetting = groupSetting({
	proxy: groupSetting({
		listen: addressSetting("0.0.0.0:7443"),
		/** In order of preference. */
		upstream: oneOrMoreSetting(upstreamSetting, PARENT_LIMITS.listMax),
		wal_path: textSetting("a directory"),
		// Above a second every bulk acknowledgement is late; 0 commits each batch alone.
		fsync_interval_ms: integerSetting({ min: 0, max: 1000, fallback: 100 }),
		flow: groupSetting(
			{ priorities: orderSetting(LANES), compression: choiceSetting(["zstd", "none"], "zstd") },
			{ isOptional: true },
		),
		/** When a preferred upstream is taken back: asked every so often, and well for so long. */
		failover: groupSetting(
			{
				probe_secs: integerSetting({ min: 1, max: 3600, fallback: PARENT_LIMITS.probeSecs }),
				stable_secs: integerSetting({ min: 1, max: 86_400, fallback: PARENT_LIMITS.stableSecs }),
			},
			{ isOptional: true },
		),
		disk: diskSetting,
		health: addressSetting("127.0.0.1:7480"),
	}),
});
export type ProxyConfig = SettingOf<typeof proxyConfigSetting>["proxy"];

export const centerConfigSetting = groupSetting({
	center: groupSetting({
		/** Nodes connect here, mTLS. */
		listen: addressSetting("0.0.0.0:7444"),
		console: groupSetting({
			listen: addressSetting("localhost:8460"),
			/** What browsers are told, and the only origin that may write. `http` on loopback only: localhost is a secure context. */
			origin: textSetting(
				"an origin like https://sc.site.local:8460",
				/^https?:\/\/[a-z0-9.-]{1,253}(:[1-9][0-9]{0,4})?$/,
			),
		}),
		store: groupSetting({
			http: addressSetting("127.0.0.1:8461"),
			admin: addressSetting("127.0.0.1:8462"),
		}),
		disk: diskSetting,
	}),
});
export type CenterConfig = SettingOf<typeof centerConfigSetting>["center"];

export interface BoxPorts {
	readonly console: number;
	readonly centerLinks: number;
	readonly proxyLinks: number;
	readonly proxyHealth: number;
	readonly storeHttp: number;
	readonly storeAdmin: number;
}

/** Ports of a single-machine enclave when the caller names none. */
export const DEFAULT_PORTS: BoxPorts = {
	console: 8460,
	centerLinks: 7444,
	proxyLinks: 7443,
	proxyHealth: 7480,
	storeHttp: 8461,
	storeAdmin: 8462,
};

/** The first proxy of a single-machine enclave. */
export function proxyYaml(ports: BoxPorts, walPath: string): string {
	return addedProxyYaml({
		listen: `127.0.0.1:${ports.proxyLinks}`,
		upstream: [`localhost:${ports.centerLinks}`],
		health: `127.0.0.1:${ports.proxyHealth}`,
		walPath,
	});
}

export interface ProxyPlaces {
	readonly listen: string;
	readonly health: string;
	/** As the key `upstream` takes them. */
	readonly upstream: readonly string[];
	readonly walPath: string;
}

export function addedProxyYaml({ listen, health, upstream, walPath }: ProxyPlaces): string {
	const written = upstream.length === 1 ? upstream[0] : `[${upstream.map((each) => JSON.stringify(each)).join(", ")}]`;
	return `proxy:
  listen: ${listen}
  upstream: ${written}
  wal_path: ${JSON.stringify(walPath)}
  fsync_interval_ms: 100
  flow:
    priorities: [trace, alert, bulk]
    compression: zstd
  health: ${health}
`;
}

/** `host`: the name browsers use; without one the console stays on this machine in plain HTTP. */
export function centerYaml(ports: BoxPorts, host?: string): string {
	const isLocal = host === undefined;
	return `center:
  listen: 127.0.0.1:${ports.centerLinks}
  console:
    listen: ${isLocal ? "localhost" : "0.0.0.0"}:${ports.console}
    origin: ${isLocal ? "http://localhost" : `https://${host}`}:${ports.console}
  store:
    http: 127.0.0.1:${ports.storeHttp}
    admin: 127.0.0.1:${ports.storeAdmin}
`;
}
