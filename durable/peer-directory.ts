/**
 * PeerDirectory: the Security Center's one list of its proxies and of the trust documents they must hold. A proxy is remembered
 * before its link is welcomed, so a document published meanwhile reaches it by the welcome or by the broadcast, never by neither.
 * It judges no document: whoever publishes has, and every agent does.
 */
import { DurableObject } from "cloudflare:workers";
import { encodeFrame } from "#core/protocol/index.ts";
import type { Namespace, PeerDirectoryFace, PeerLinkFace } from "./faces.ts";
import { PEER_LIMITS } from "./limits.ts";
import { logLine } from "./log.ts";
import { TrustStore } from "./uplink-store.ts";

export interface PeerDirectoryEnv {
	readonly PEER_LINK: Namespace<PeerLinkFace>;
}

export class PeerDirectory<E extends PeerDirectoryEnv = PeerDirectoryEnv>
	extends DurableObject<E>
	implements PeerDirectoryFace
{
	readonly #store: TrustStore;

	constructor(ctx: DurableObjectState, env: E) {
		super(ctx, env);
		this.#store = new TrustStore(ctx.storage.sql);
	}

	async joinPeer(peer: string): Promise<readonly Uint8Array[]> {
		this.#store.joinPeer(peer, Date.now());
		return this.#store.documents();
	}

	async publishTrust(documents: readonly Uint8Array[]): Promise<void> {
		// Versions are only added, so a list that is no longer is an older publication that comes late.
		if (documents.length <= this.#store.documents().length) return;
		this.#store.replaceDocuments(documents);
		const frame = encodeFrame("trust", { documents });
		const peers = this.#store.peers().slice(0, PEER_LIMITS.peersMax);
		const sent = await Promise.allSettled(peers.map(({ id }) => this.env.PEER_LINK.getByName(id).sendDown(frame)));
		for (const [index, outcome] of sent.entries())
			if (outcome.status === "rejected")
				logLine("warning", "trust_not_sent", { peer: peers[index]?.id, detail: String(outcome.reason) });
	}

	async peers(): Promise<readonly { readonly id: string; readonly joinedAtMs: number }[]> {
		return this.#store.peers();
	}
}
