/**
 * A ceiling on events per second that gives up the least first: files, then details of the network, then connections, processes
 * last. A bucket of two seconds' worth; each class may draw only down to its reserve, so the next class always finds some left.
 * Guarantees that every refusal is counted by class until it is told. Pure: time is an argument.
 */
import type { EventKind } from "#core/model/event.ts";

/** What is given up first comes first. */
export const CAP_CLASSES = ["file", "network_detail", "network", "process"] as const;
export type CapClass = (typeof CAP_CLASSES)[number];

/** The share of the bucket that a class leaves to those after it. */
const RESERVES: Readonly<Record<CapClass, number>> = { file: 0.5, network_detail: 0.35, network: 0.2, process: 0 };
/** A build or a login storm lasts a second or two; it is not to be cut. */
const BUCKET_SECS = 2;

const CLASS_OF: Readonly<Partial<Record<EventKind, CapClass>>> = {
	connect: "network",
	accept: "network",
	close: "network_detail",
	socket: "network_detail",
	bind: "network_detail",
	listen: "network_detail",
	datagram: "network_detail",
	dns: "network_detail",
	file_open: "file",
	file_create: "file",
	file_rename: "file",
	file_unlink: "file",
	file_link: "file",
	file_symlink: "file",
	file_chmod: "file",
	file_hash: "file",
	memory_header: "file",
};

export function capClassOf(kind: EventKind): CapClass {
	return CLASS_OF[kind] ?? "process";
}

export class RateCap {
	readonly #perSecond: number;
	readonly #bucketMax: number;
	#tokens: number;
	#atMs: number;
	readonly #refused = new Map<CapClass, number>();
	#refusedSinceMs = 0;

	constructor(perSecond: number, nowMs: number) {
		this.#perSecond = perSecond;
		this.#bucketMax = perSecond * BUCKET_SECS;
		this.#tokens = this.#bucketMax;
		this.#atMs = nowMs;
	}

	/** Whether one more event of this kind may pass. A refusal is counted. */
	admits(kind: EventKind, nowMs: number): boolean {
		this.#tokens = Math.min(this.#bucketMax, this.#tokens + ((nowMs - this.#atMs) / 1000) * this.#perSecond);
		this.#atMs = nowMs;
		const capClass = capClassOf(kind);
		if (this.#tokens - 1 >= this.#bucketMax * RESERVES[capClass]) {
			this.#tokens -= 1;
			return true;
		}
		if (this.#refused.size === 0) this.#refusedSinceMs = nowMs;
		this.#refused.set(capClass, (this.#refused.get(capClass) ?? 0) + 1);
		return false;
	}

	/** What was refused since the last call and how long ago that began, or null: the words of a gap record. */
	takeRefused(nowMs: number): { readonly count: number; readonly text: string; readonly agoMs: number } | null {
		if (this.#refused.size === 0) return null;
		const parts = CAP_CLASSES.flatMap((each) => {
			const count = this.#refused.get(each);
			return count === undefined ? [] : [{ each, count }];
		});
		this.#refused.clear();
		return {
			count: parts.reduce((sum, { count }) => sum + count, 0),
			text: parts.map(({ each, count }) => `${each} ${count}`).join(", "),
			agoMs: nowMs - this.#refusedSinceMs,
		};
	}
}
