import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openDiskDesk } from "./disk-desk.ts";

const base = mkdtempSync(join(tmpdir(), "daemoneye-disk-"));
after(() => rmSync(base, { recursive: true }));

function ask(
	socketPath: string,
	path: string,
	method = "GET",
): Promise<{ status: number; body: Record<string, unknown> }> {
	return new Promise((resolve, reject) => {
		const asked = request({ socketPath, path, method, agent: false }, (answer) => {
			let text = "";
			answer.setEncoding("utf8");
			answer.on("data", (part: string) => {
				text += part;
			});
			answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) as never }));
		});
		asked.on("error", reject);
		asked.end();
	});
}

test("each socket answers the room of its own directory, measured when asked, and replaces a stale socket", async () => {
	const [socket, directory] = [join(base, "px.disk"), join(base, "wal")];
	mkdirSync(directory);
	writeFileSync(socket, "left by a killed supervisor");
	const gone = join(base, "gone.disk");
	const desk = await openDiskDesk(
		new Map([
			[socket, directory],
			[gone, join(base, "absent")],
		]),
	);
	assert(desk.ok, JSON.stringify(desk));
	try {
		assert.equal(statSync(socket).mode & 0o777, 0o600);
		const { status, body } = await ask(socket, "/disk");
		const { blocks, bsize } = statfsSync(directory);
		assert.deepEqual([status, Object.keys(body), body.totalBytes], [200, ["freeBytes", "totalBytes"], blocks * bsize]);
		assert.ok((body.freeBytes as number) > 0 && (body.freeBytes as number) < blocks * bsize);
		assert.deepEqual(
			[(await ask(gone, "/disk")).status, (await ask(gone, "/disk")).body.code],
			[503, "disk_not_measured"],
		);
		assert.equal((await ask(socket, "/other")).status, 404);
		assert.equal((await ask(socket, "/disk", "POST")).status, 404);
	} finally {
		desk.value.close();
	}
	await assert.rejects(ask(socket, "/disk"));
});

test("a socket that cannot be opened is named, and the ones before it are closed", async () => {
	const first = join(base, "first.disk");
	const failed = await openDiskDesk(
		new Map([
			[first, base],
			[join(base, "no", "such", "folder.disk"), base],
		]),
	);
	assert(!failed.ok);
	assert.equal(failed.code, "disk_desk_failed");
	assert.match(failed.detail, /folder\.disk/);
	await assert.rejects(ask(first, "/disk"));
});
