/**
 * The demo's wires: attacker — web-01 — db-01, two point-to-point links cut from one private /29. Each link is made
 * with both ends already inside their namespaces, so the machine's own network namespace never sees a device, an
 * address or a route of the demo. No member has a default route and none forwards: the attacker reaches the web
 * server only, the database only the web server.
 */

import { networkInterfaces } from "node:os";
import type { Result } from "#core/result.ts";
import { runTool, type Tools } from "./spawning.ts";

export type DemoAddresses = {
	/** The /29 both links are cut from, in CIDR notation. */
	readonly subnet: string;
	readonly attacker: string;
	/** web-01 as the attacker sees it. */
	readonly webFront: string;
	/** web-01 as db-01 sees it. */
	readonly webBack: string;
	readonly db: string;
};

/** A random /29 of 10.0.0.0/8 of which no address is this machine's. `random` yields integers below its argument. */
export function chooseAddresses(random: (below: number) => number): DemoAddresses {
	const used = Object.values(networkInterfaces()).flatMap((list) => list?.map(({ cidr }) => cidr) ?? []);
	for (;;) {
		const base = 0x0a00_0000 + random(1 << 21) * 8;
		if (used.some((cidr) => cidr !== null && overlaps(cidr, base))) continue;
		const at = (offset: number) => dotted(base + offset);
		return { subnet: `${at(0)}/29`, attacker: at(1), webFront: at(2), webBack: at(5), db: at(6) };
	}
}

/** True when an IPv4 CIDR shares an address with the /29 at `base`. IPv6 never does. */
export function overlaps(cidr: string, base: number): boolean {
	const [address = "", prefix = "32"] = cidr.split("/");
	const octets = address.split(".").map(Number);
	if (octets.length !== 4) return false;
	const value = octets.reduce((sum, octet) => sum * 256 + octet, 0);
	const size = 2 ** (32 - Math.min(Number(prefix), 29));
	return Math.floor(value / size) === Math.floor(base / size);
}

function dotted(address: number): string {
	return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** Lays both links and gives the addresses out. The pids name the processes whose network namespaces are joined. */
export async function wire(
	tools: Tools,
	pids: { readonly attacker: number; readonly web: number; readonly db: number },
	addresses: DemoAddresses,
): Promise<Result<unknown, "namespace_refused">> {
	const linked = await runTool(
		[tools.ip, "-batch", "-"],
		`link add eth0 netns ${pids.attacker} type veth peer name eth0 netns ${pids.web}\n` +
			`link add eth1 netns ${pids.web} type veth peer name eth0 netns ${pids.db}\n`,
	);
	if (!linked.ok) return linked;
	const members = [
		{ pid: pids.attacker, devices: [["eth0", addresses.attacker]] },
		{
			pid: pids.web,
			devices: [
				["eth0", addresses.webFront],
				["eth1", addresses.webBack],
			],
		},
		{ pid: pids.db, devices: [["eth0", addresses.db]] },
	];
	const results = members.map(({ pid, devices }) => {
		const lines = devices.map(([device, address]) => `addr add ${address}/30 dev ${device}\nlink set ${device} up\n`);
		const input = `link set lo up\n${lines.join("")}`;
		return runTool([tools.nsenter, `--net=/proc/${pid}/ns/net`, "--", tools.ip, "-batch", "-"], input);
	});
	const settled = await Promise.all(results);
	return settled.find((result) => !result.ok) ?? linked;
}
