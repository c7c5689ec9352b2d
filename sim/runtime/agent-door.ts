/**
 * The agent's `server-identity` without sockets: asks for a challenge over the world's network. What TLS proves is not simulated:
 * a machine of the world is who its name says.
 */

import { bytesOfHex } from "#core/bytes/bytes.ts";
import { LINK_PATHS } from "#core/identity/challenge.ts";
import { fail, ok, type Result } from "#core/result.ts";
import { networkHere } from "./agent-socket.ts";
import { SimRequest } from "./http.ts";

interface Challenge {
	readonly nonce: Uint8Array;
	readonly serverUri: string;
	readonly timeMs: number;
	readonly protocol: number;
}

export function tlsOptions(): object {
	return {};
}

export async function verifyPeer(): Promise<Result<true, never>> {
	return ok(true);
}

export async function fetchChallenge(
	target: { host: string },
	_files: object,
	{ timeoutMs }: { timeoutMs: number },
): Promise<Result<Challenge, string>> {
	const { network, machine, place } = networkHere();
	const abort = new AbortController();
	const timer = setTimeout(() => abort.abort(new Error("no answer in time")), timeoutMs);
	try {
		const request = new SimRequest(`https://${target.host}${LINK_PATHS.challenge}`, { signal: abort.signal });
		const response = await network.request(place, machine, target.host, request);
		if (response.status !== 200) return fail("server_refused", `the server answered ${response.status}`);
		const answer = (await response.json()) as Record<string, string | number>;
		return ok({
			nonce: bytesOfHex(String(answer.nonce)) as Uint8Array,
			serverUri: String(answer.serverUri),
			timeMs: Number(answer.timeMs),
			protocol: Number(answer.protocol),
		});
	} catch (error) {
		return fail("server_unreachable", (error as Error).message);
	} finally {
		clearTimeout(timer);
	}
}
