import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { freeLoopbackPort } from "../supervisor/free-port.ts";
import { checkDataFolder, checkDisk, checkPorts, FREE_BYTES_MIN } from "./preflight.ts";

test("a folder with room passes, also one that does not exist yet", () => {
	assert(checkDisk(join(tmpdir(), "not", "there", "yet"), FREE_BYTES_MIN).ok);
});

test("a disk without room is named with its numbers and what to do", () => {
	const refused = checkDisk(tmpdir(), Number.MAX_SAFE_INTEGER);
	assert(!refused.ok);
	assert.equal(refused.code, "disk_full");
	assert.match(refused.detail, /MiB are free at .+ needed: free some, or name another folder with --data/);
});

test("a free port passes and a taken one is named with the key to change", async () => {
	const port = await freeLoopbackPort();
	const address = `127.0.0.1:${port}`;
	assert((await checkPorts({ "console.listen": address })).ok);
	const server = createServer();
	await new Promise<void>((done) => server.listen(port, "127.0.0.1", done));
	try {
		const refused = await checkPorts({ "console.listen": address });
		assert(!refused.ok);
		assert.equal(refused.code, "port_taken");
		assert.match(refused.detail, new RegExp(`${address} cannot be used \\(EADDRINUSE\\).+console\\.listen`));
	} finally {
		server.close();
	}
});

test("a data folder that is a file, lies below one, or may not be written to is refused in one sentence", () => {
	const directory = mkdtempSync(join(tmpdir(), "daemoneye-preflight-"));
	try {
		const file = join(directory, "file");
		writeFileSync(file, "");
		assert(checkDataFolder(join(directory, "new", "deep")).ok);
		for (const path of [file, join(file, "below")]) {
			const refused = checkDataFolder(path);
			assert(!refused.ok && refused.code === "data_folder_unusable");
			assert.match(refused.detail, /is a file, not a folder: name another folder with --data/);
		}
	} finally {
		rmSync(directory, { recursive: true });
	}
});
