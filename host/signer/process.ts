/** How the supervisor runs the signer. */
import { join } from "node:path";
import { signerPaths } from "../pki/layout.ts";
import type { ProcessSpec } from "../supervisor/supervisor.ts";

/** The signer of this data directory; workers reach it by `signerPaths(dataDir).socket`. */
export function signerProcess(dataDir: string): ProcessSpec {
	return {
		name: "signer",
		command: process.execPath,
		args: [join(import.meta.dirname, "main.ts"), dataDir],
		health: { kind: "http", url: "http://signer/health", socketPath: signerPaths(dataDir).socket },
	};
}
