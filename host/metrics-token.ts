/**
 * The token that reads a box's metrics: 256 random bits in a file of the box's own user, made at the first start (ADR 0014). Guarantees
 * mode 0600. Deleting the file makes a new token at the next start; an empty file closes the door.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { makePrivateDirectory, writeFileDurably } from "./durable-files.ts";

export const METRICS_TOKEN_FILE = "metrics-token";

/** The text of the file; made when there is none. */
export function metricsToken(dataDir: string): string {
	const path = join(dataDir, METRICS_TOKEN_FILE);
	makePrivateDirectory(dataDir);
	if (!existsSync(path)) writeFileDurably(path, `${randomBytes(32).toString("hex")}\n`);
	return readFileSync(path, "utf8").trim();
}
