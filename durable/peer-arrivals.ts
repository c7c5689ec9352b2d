/**
 * An agent that comes by a PeerLink: where it is, who may speak for it, and what is told of it. Guarantees that the agent's own
 * word decides the way down to it (a route chosen later wins, any route wins over a dead link), that an older certificate never
 * displaces a newer one, and that news of a link that no longer leads to the agent changes nothing. It keeps nothing itself: the
 * channel's identity is the state. Must never believe a proxy about more than whether and when it heard the agent.
 */
import { decodeAs, encodeAs } from "#core/codec/index.ts";
import { type NodeProof, nodeProofShape } from "#core/identity/binding.ts";
import { agentStatusShape, helloTarget } from "#core/identity/hello.ts";
import { isNewerRoute, routeShape } from "#core/identity/route.ts";
import { assertInvariant } from "#core/result.ts";
import type { ChannelIdentity, ChannelPlace } from "./channel-store.ts";
import type { AgentState } from "./drain.ts";
import type { Arrival, Report } from "./faces.ts";
import { logLine } from "./log.ts";

export interface PeerArrivalsParts {
	readonly identity: () => ChannelIdentity | null;
	readonly writeIdentity: (identity: ChannelIdentity) => void;
	readonly heard: (atMs: number) => void;
	/** Whether the agent has a session of this hop's own. */
	readonly hasSession: () => boolean;
	/** Whether that link of a proxy still stands. */
	readonly isLive: (via: string, linkId: string) => Promise<boolean>;
	/** Resolves when the way up can find the agent's backlog after a crash. */
	readonly register: (identity: ChannelIdentity) => Promise<void>;
	/** The agent is proved and registered: what its new link must hear; commands only where the way down goes by it. */
	readonly onArrived: (via: string, hasTakenOver: boolean) => void;
	readonly tellState: (state: AgentState) => void;
}

/** The place of an agent that has proved itself and of which nobody knows where it is. */
const NOWHERE = { via: "", linkId: "", isUp: false, route: encodeAs(routeShape, []), routeTimesMs: [] };

function placeOf({ via, linkId, isUp, heardAtMs, route }: Arrival): ChannelPlace {
	assertInvariant(route !== undefined, "a place was taken without a route");
	return { via, linkId, isUp, heardAtMs, route: encodeAs(routeShape, route.hellos), routeTimesMs: route.timesMs };
}

/** The proxy that the agent's own hello was made for; null where its route is not known. */
export function ownProxyOf({ route }: ChannelIdentity): string | null {
	const hellos = decodeAs(routeShape, route);
	const [hello] = hellos.ok ? hellos.value : [];
	return hello === undefined ? null : helloTarget(hello);
}

export class PeerArrivals {
	readonly #parts: PeerArrivalsParts;

	constructor(parts: PeerArrivalsParts) {
		this.#parts = parts;
	}

	/**
	 * Whether what goes down to the agent goes by this arrival from now on. The agent's own word decides, never the proxy's: a
	 * route that was chosen later wins, and any route wins over one whose link is down.
	 */
	async #takesOver({ route, linkId, isUp, notAfterMs }: Arrival, held: ChannelIdentity | null): Promise<boolean> {
		if (route === undefined) return false;
		if (held === null || held.linkId === linkId) return true;
		// The agent has a newer certificate, which may name other proxies: what it told them under the old one is over.
		if (notAfterMs < held.notAfterMs) return false;
		if (isUp && isNewerRoute(route.timesMs, held.routeTimesMs)) return true;
		if (held.via === "") return !this.#parts.hasSession();
		return !(await this.#parts.isLive(held.via, held.linkId));
	}

	async arrive(arrival: Arrival): Promise<void> {
		const { agent, via, signingKey, notAfterMs, heardAtMs } = arrival;
		let before: ChannelIdentity | null;
		let hasTakenOver: boolean;
		// Another arrival may come while a link is asked whether it stands: then this one is judged against that.
		do {
			before = this.#parts.identity();
			hasTakenOver = await this.#takesOver(arrival, before);
		} while (this.#parts.identity() !== before);
		assertInvariant(before === null || before.agent === agent, "a channel serves one agent");
		// An older certificate may still speak for a backlog, but it does not displace a newer one.
		const proved =
			before === null || notAfterMs >= before.notAfterMs
				? { proof: encodeAs(nodeProofShape, arrival.proof), signingKey, notAfterMs }
				: { proof: before.proof, signingKey: before.signingKey, notAfterMs: before.notAfterMs };
		const place = hasTakenOver ? placeOf(arrival) : (before ?? { ...NOWHERE, heardAtMs });
		const status = arrival.status === undefined ? (before?.status ?? null) : encodeAs(agentStatusShape, arrival.status);
		const identity = { ...place, ...proved, agent, status };
		this.#parts.writeIdentity(identity);
		this.#parts.heard(heardAtMs);
		await this.#parts.register(identity);
		this.#parts.onArrived(via, hasTakenOver);
		if (hasTakenOver) this.#tellNews(arrival);
		else {
			// The proof is news all the same: the evidence that follows is judged by it.
			logLine("info", "route_not_taken", { agent, via, held: identity.via, hasRoute: arrival.route !== undefined });
			this.#tellNews({ agent, via: identity.via, isUp: identity.isUp, heardAtMs, proof: arrival.proof });
		}
	}

	#known(): ChannelIdentity {
		const identity = this.#parts.identity();
		assertInvariant(identity !== null, "a channel was used before its agent had proved itself");
		return identity;
	}

	report(report: Report): void {
		const known = this.#known();
		if (report.linkId !== known.linkId) return;
		const { isUp, heardAtMs } = report;
		this.#parts.heard(heardAtMs);
		if (isUp !== known.isUp) this.#parts.writeIdentity({ ...known, isUp, heardAtMs });
		this.#tellNews(report);
	}

	/** The link ended: nothing reaches the agent by it any more. */
	unlink(ended: Report): void {
		const known = this.#known();
		if (ended.linkId !== known.linkId) return;
		this.#parts.writeIdentity({ ...known, via: "", linkId: "", isUp: false });
		this.#tellNews({ ...ended, isUp: false });
	}

	#tellNews(news: Omit<Report, "linkId"> & { readonly proof?: NodeProof }): void {
		const { agent, via, isUp, heardAtMs, heardHereMs, waiting, status, health, proof } = news;
		this.#parts.tellState({
			...{ agent, via, isUp, heardAtMs },
			...(heardHereMs === undefined ? {} : { heardHereMs }),
			...(waiting === undefined ? {} : { waiting }),
			...(status === undefined ? {} : { status }),
			...(health === undefined ? {} : { health }),
			...(proof === undefined ? {} : { proof }),
		});
	}
}
