/**
 * Replaces one process of a running box: a new binary, a new certificate, a new configuration. Guarantees that the listening sockets stay
 * open all the while, so that nobody is refused; that the new process starts only when the old one is gone; and that a new one which does
 * not become healthy gives way to the former specification. Must never stop anything before what can be known to fail was asked.
 */
import { fail, ok, type Result } from "#core/result.ts";
import type { ProcessSpec } from "./child.ts";
import { type ListenCode, type ListeningSocket, openListening } from "./listening.ts";
import { type Box, type Managed, writeAndStart } from "./managed.ts";

export type ReplaceCode =
	| ListenCode
	| "process_unknown"
	/** Another replacement of it is on its way, or everything is stopping. */
	| "process_busy"
	/** The new one did not become healthy; the former specification runs again. */
	| "replacement_failed";

/** What a replacement cost. */
export interface Replaced {
	readonly name: string;
	/** The process that left had this long to finish what it had begun. */
	readonly stopMs: number;
	/** From the old one's end to the new one's first answer: connections waited so long. */
	readonly awayMs: number;
}

export interface Replacement {
	readonly spec: ProcessSpec;
	/** Already open, those it shares with the former one too. */
	readonly sockets: readonly ListeningSocket[];
	readonly askedAtMs: number;
	readonly done: (result: Result<Replaced, ReplaceCode>) => void;
}

/** Begins a replacement; `keepRunning` takes it up when the present child is gone. */
export async function replace(box: Box, managed: Managed, spec: ProcessSpec): Promise<Result<Replaced, ReplaceCode>> {
	if (managed.isBeingReplaced || box.stopping.signal.aborted)
		return fail("process_busy", `${managed.spec.name} is being replaced or stopped already.`);
	managed.isBeingReplaced = true;
	try {
		const kept = (spec.listens ?? []).map((want) =>
			managed.sockets.find(({ name, address }) => name === want.name && address === want.address),
		);
		const opened = await openListening((spec.listens ?? []).filter((_, index) => kept[index] === undefined));
		if (!opened.ok) return opened;
		const fresh = opened.value.values();
		const sockets = kept.flatMap((socket) => socket ?? fresh.next().value ?? []);
		const { promise, resolve: done } = Promise.withResolvers<Result<Replaced, ReplaceCode>>();
		managed.replacement = { spec, sockets, askedAtMs: performance.now(), done };
		managed.wake.abort();
		if (box.stopping.signal.aborted) giveUp(managed);
		else await managed.child.stop();
		return await promise;
	} finally {
		managed.isBeingReplaced = false;
	}
}

/** Closes those of `sockets` that are not among `kept`. */
function closeBut(sockets: readonly ListeningSocket[], kept: readonly ListeningSocket[]): void {
	for (const socket of sockets) if (!kept.includes(socket)) socket.close();
}

/** Everything stops: a replacement that was not taken up is answered, and what it opened is closed. */
export function giveUp(managed: Managed): void {
	const { replacement } = managed;
	managed.replacement = null;
	if (replacement === null) return;
	closeBut(replacement.sockets, managed.sockets);
	replacement.done(fail("process_busy", `${managed.spec.name} is being stopped.`));
}

export async function takeUp(box: Box, managed: Managed, replacement: Replacement): Promise<void> {
	const endedAtMs = performance.now();
	const former = { spec: managed.spec, sockets: managed.sockets };
	managed.replacement = null;
	managed.wake = new AbortController();
	Object.assign(managed, { spec: replacement.spec, sockets: replacement.sockets });
	const started = await writeAndStart(box, managed);
	if (started.ok) {
		closeBut(former.sockets, managed.sockets);
		const stopMs = Math.round(endedAtMs - replacement.askedAtMs);
		const awayMs = Math.round(performance.now() - endedAtMs);
		replacement.done(ok({ name: managed.spec.name, stopMs, awayMs }));
		return;
	}
	Object.assign(managed, former);
	closeBut(replacement.sockets, former.sockets);
	// Where the former one does not come up either, the loop that called goes on trying.
	const back = box.stopping.signal.aborted ? null : await writeAndStart(box, managed);
	if (back === null) closeBut(former.sockets, []);
	const now = back?.ok === true ? "The former one runs again." : "The former one is being started.";
	replacement.done(fail("replacement_failed", `${started.detail} ${now}`));
}
