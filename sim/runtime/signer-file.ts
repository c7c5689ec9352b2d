/** The signer's one file: written whole or not at all, and on the disk when the write returns. In memory, by path. */
const files = new Map<string, Uint8Array>();

export function readFileSync(path: string): Uint8Array {
	const bytes = files.get(path);
	if (bytes === undefined) throw new Error(`there is no ${path}`);
	return bytes;
}

export function writeFileDurably(path: string, bytes: Uint8Array): void {
	files.set(path, bytes.slice());
}

export function forgetFile(path: string): void {
	files.delete(path);
}
