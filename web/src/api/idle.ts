/**
 * Whether the console is at rest: no request under way, no delayed work waiting, the last change painted. Tests and screenshots
 * wait for it instead of sleeping.
 */

let pending = 0;
const waiters = new Set<() => void>();

/** Counts one piece of work until the returned function is called; calling it twice counts once. */
export function beginWork(): () => void {
	pending++;
	let isDone = false;
	return () => {
		if (isDone) return;
		isDone = true;
		pending--;
		if (pending === 0) for (const wake of [...waiters]) wake();
	};
}

export async function tracked<T>(work: Promise<T>): Promise<T> {
	const end = beginWork();
	try {
		return await work;
	} finally {
		end();
	}
}

/** Runs `work` once, `delayMs` after the last call; counted as work while it waits. */
export function debounced(work: () => void, delayMs: number): { (): void; cancel(): void } {
	let timer: ReturnType<typeof setTimeout> | undefined;
	let end: (() => void) | undefined;
	const cancel = () => {
		clearTimeout(timer);
		end?.();
		end = undefined;
	};
	const call = () => {
		clearTimeout(timer);
		end ??= beginWork();
		timer = setTimeout(() => {
			work();
			cancel();
		}, delayMs);
	};
	return Object.assign(call, { cancel });
}

const nextFrame = () => new Promise<void>((resolve) => requestAnimationFrame(() => resolve()));

/** Resolves when nothing is pending and two frames have been painted without new work. */
export async function idle(): Promise<void> {
	for (;;) {
		if (pending > 0) {
			await new Promise<void>((resolve) => {
				const wake = () => {
					waiters.delete(wake);
					resolve();
				};
				waiters.add(wake);
			});
		}
		await nextFrame();
		await nextFrame();
		if (pending === 0) return;
	}
}

declare global {
	interface Window {
		daemoneye: { idle(): Promise<void> };
	}
}
