/** Keeps a map or set of names within its bound: the name that came first goes. For what costs little when it is not remembered. */
export function forgetOldest<K>(names: Set<K> | Map<K, unknown>, countMax: number): void {
	for (const oldest of names.keys()) {
		if (names.size <= countMax) return;
		names.delete(oldest);
	}
}
