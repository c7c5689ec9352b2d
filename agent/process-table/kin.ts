/**
 * Who stands below whom, as links between entries: attached, taken out, walked. Each link knows how many forks it stands for, so
 * a dead process between two others can leave and the distance stays. Guarantees constant work for all but the walks, and that a
 * walk upwards ends at its bound. Must never hold an entry that the table has forgotten.
 */

export interface KinLinks<T> {
	/** Who holds its ancestry in the table: the creator, the parent it had when first seen, or the nearest above that is left. */
	ancestor: T | null;
	/** Forks between it and its ancestor: 1, and one more for each that was taken out between them. */
	ancestorSteps: number;
	/** Entries in the table whose ancestor this is. */
	childCount: number;
	firstChild: T | null;
	nextSibling: T | null;
	previousSibling: T | null;
}

type Kin<T> = KinLinks<T> & T;

export function attach<T>(child: Kin<T>, ancestor: Kin<T>, steps: number): void {
	const first = ancestor.firstChild as Kin<T> | null;
	child.ancestor = ancestor;
	child.ancestorSteps = steps;
	child.nextSibling = first;
	child.previousSibling = null;
	if (first !== null) first.previousSibling = child;
	ancestor.firstChild = child;
	ancestor.childCount++;
}

export function detach<T>(child: Kin<T>): void {
	const ancestor = child.ancestor as Kin<T> | null;
	if (ancestor === null) return;
	const next = child.nextSibling as Kin<T> | null;
	const previous = child.previousSibling as Kin<T> | null;
	if (next !== null) next.previousSibling = previous;
	if (previous !== null) previous.nextSibling = next;
	else ancestor.firstChild = next;
	ancestor.childCount--;
	child.ancestor = null;
	child.nextSibling = null;
	child.previousSibling = null;
}

/** Takes an entry with at most one child out of its lineage; the child stands as far below the others as before. */
export function takeOut<T>(entry: Kin<T>): void {
	const above = entry.ancestor as Kin<T> | null;
	const child = entry.firstChild as Kin<T> | null;
	detach(entry);
	if (child === null) return;
	const steps = child.ancestorSteps + entry.ancestorSteps;
	detach(child);
	if (above !== null) attach(child, above, steps);
}

/** Whether `above` stands above the entry; a walk that does not end within `stepsMax` links counts as yes. */
export function mayStandAbove<T>(above: Kin<T>, entry: Kin<T>, stepsMax: number): boolean {
	let at: Kin<T> | null = entry;
	for (let step = 0; step <= stepsMax; step++, at = at.ancestor as Kin<T> | null) {
		if (at === null) return false;
		if (at === above) return true;
	}
	return true;
}

/** The entry and who stands below it, nearest first, to a depth in forks. */
export function* descendantsOf<T>(root: Kin<T>, depthMax: number): Generator<{ entry: Kin<T>; depth: number }> {
	const found = [{ entry: root, depth: 0 }];
	// The list grows under the loop.
	for (const each of found) {
		yield each;
		for (
			let child = each.entry.firstChild as Kin<T> | null;
			child !== null;
			child = child.nextSibling as Kin<T> | null
		) {
			const depth = each.depth + child.ancestorSteps;
			if (depth <= depthMax) found.push({ entry: child, depth });
		}
	}
}
