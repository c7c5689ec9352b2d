/**
 * Who stands below whom, as links between rows: attached, taken out, walked. Each link knows how many forks it stands for, so a
 * dead process between two others can leave and the distance stays. Guarantees constant work for all but the walks, and that a
 * walk upwards ends at its bound. Must never link to a row that the table has given back.
 */
import { NONE, type Rows, WORD } from "./rows.ts";

export class Kin {
	readonly #rows: Rows;
	/** Links that walks have followed so far: what lineages cost. */
	followedCount = 0;

	constructor(rows: Rows) {
		this.#rows = rows;
	}

	attach(child: number, ancestor: number, steps: number): void {
		const rows = this.#rows;
		const first = rows.get(ancestor, WORD.firstChild);
		rows.set(child, WORD.ancestor, ancestor);
		rows.set(child, WORD.ancestorSteps, 0);
		rows.add(child, WORD.ancestorSteps, steps);
		rows.set(child, WORD.nextSibling, first);
		rows.set(child, WORD.previousSibling, NONE);
		if (first !== NONE) rows.set(first, WORD.previousSibling, child);
		rows.set(ancestor, WORD.firstChild, child);
		rows.add(ancestor, WORD.childCount, 1);
	}

	detach(child: number): void {
		const rows = this.#rows;
		const ancestor = rows.get(child, WORD.ancestor);
		if (ancestor === NONE) return;
		const next = rows.get(child, WORD.nextSibling);
		const previous = rows.get(child, WORD.previousSibling);
		if (next !== NONE) rows.set(next, WORD.previousSibling, previous);
		if (previous !== NONE) rows.set(previous, WORD.nextSibling, next);
		else rows.set(ancestor, WORD.firstChild, next);
		rows.add(ancestor, WORD.childCount, -1);
		rows.set(child, WORD.ancestor, NONE);
		rows.set(child, WORD.nextSibling, NONE);
		rows.set(child, WORD.previousSibling, NONE);
	}

	/** Takes a row with at most one child out of its lineage; the child stands as far below the others as before. */
	takeOut(row: number): void {
		const rows = this.#rows;
		const above = rows.get(row, WORD.ancestor);
		const child = rows.get(row, WORD.firstChild);
		this.detach(row);
		if (child === NONE) return;
		const steps = rows.get(child, WORD.ancestorSteps) + rows.get(row, WORD.ancestorSteps);
		this.detach(child);
		if (above !== NONE) this.attach(child, above, steps);
	}

	/** Whether `above` stands above the row; a walk that does not end within `stepsMax` links counts as yes. */
	mayStandAbove(above: number, row: number, stepsMax: number): boolean {
		let at = row;
		for (let step = 0; step <= stepsMax; step++) {
			if (at === NONE) return false;
			if (at === above) return true;
			at = this.#rows.get(at, WORD.ancestor);
			this.followedCount++;
		}
		return true;
	}

	/** The row and who stands below it, nearest first, to a depth in forks. */
	*descendantsOf(root: number, depthMax: number): Generator<{ row: number; depth: number }> {
		const rows = this.#rows;
		const found = [{ row: root, depth: 0 }];
		// The list grows under the loop.
		for (const each of found) {
			yield each;
			let child = rows.get(each.row, WORD.firstChild);
			for (; child !== NONE; child = rows.get(child, WORD.nextSibling)) {
				this.followedCount++;
				const depth = each.depth + rows.get(child, WORD.ancestorSteps);
				if (depth <= depthMax) found.push({ row: child, depth });
			}
		}
	}
}
