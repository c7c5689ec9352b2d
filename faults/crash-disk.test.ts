import { deepEqual, equal, throws } from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BLOCK_BYTES, CrashDisk, type Image, writeImage } from "./crash-disk.ts";
import { type DiskOp, filesBelow, opsOf } from "./write-log.ts";

const hex = (text: string) => [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
const fd = (path: string) => `7<${hex(path)}>`;
const at = { startMs: 1, endMs: 2 };
const op = (change: { kind: string; path: string }) => ({ ...at, ...change }) as DiskOp;
const texts = (image: Image) =>
	Object.fromEntries([...image].map(([path, { bytes }]) => [path, bytes.toString().replaceAll("\0", ".")]));

test("a trace becomes what was done: bytes and places, cut lines put together, failed calls and other folders left out", () => {
	const trace = [
		`11  100.000000 openat(AT_FDCWD<${hex("/x")}>, "${hex("/d/a")}", O_RDWR|O_CREAT|O_TRUNC, 0600) = ${fd("/d/a")} <0.001000>`,
		`11  100.002000 write(${fd("/d/a")}, "${hex("one")}", 3) = 3 <0.000100>`,
		`11  100.003000 write(${fd("/d/a")}, "${hex("two")}", 3) = 2 <0.000100>`,
		`12  100.004000 pwrite64(${fd("/d/b")}, "${hex("1234")}", 4, 4096 <unfinished ...>`,
		`11  100.004500 fsync(${fd("/d/a")}) = 0 <0.000100>`,
		`12  100.005000 <... pwrite64 resumed>) = 4 <0.001000>`,
		`11  100.006000 pwrite64(${fd("/d/b")}, "${hex("x")}", 1, 0) = -1 ENOSPC (No space left on device) <0.000100>`,
		`11  100.007000 pwrite64(${fd("/elsewhere/b")}, "${hex("x")}", 1, 0) = 1 <0.000100>`,
		`11  100.008000 pwritev(${fd("/d/b")}, [{iov_base="${hex("ab")}", iov_len=2}, {iov_base="${hex("c")}", iov_len=1}], 2, 9) = 3 <0.0001>`,
		`11  100.009000 ftruncate(${fd("/d/b")}, 5) = 0 <0.000100>`,
		`11  100.010000 renameat(7<${hex("/d")}>, "${hex("a")}", 7<${hex("/d")}>, "${hex("c")}") = 0 <0.000100>`,
		`11  100.011000 unlink("${hex("/d/b")}") = 0 <0.000100>`,
		`11  100.012000 pwrite64(${fd("/d/b")}(deleted), "${hex("x")}", 1, 0) = 1 <0.000100>`,
		"11  100.013000 +++ exited with 0 +++",
	].join("\n");
	const ops = opsOf(trace, (path) => path.startsWith("/d/"));
	deepEqual(
		ops.map(({ startMs: _, endMs: __, ...rest }) =>
			"bytes" in rest ? { ...rest, bytes: rest.bytes.toString() } : rest,
		),
		[
			{ kind: "create", path: "/d/a", isEmptied: true },
			{ kind: "write", path: "/d/a", offset: 0, bytes: "one" },
			{ kind: "write", path: "/d/a", offset: 3, bytes: "tw" },
			{ kind: "sync", path: "/d/a" },
			{ kind: "write", path: "/d/b", offset: 4096, bytes: "1234" },
			{ kind: "write", path: "/d/b", offset: 9, bytes: "abc" },
			{ kind: "truncate", path: "/d/b", size: 5 },
			{ kind: "rename", path: "/d/a", to: "/d/c" },
			{ kind: "remove", path: "/d/b" },
		],
	);
	// The write that was cut in two lasted from its first line on.
	deepEqual([ops[4]?.startMs, ops[4]?.endMs], [100_004, 100_005]);
	throws(() => opsOf(`1  1.0 fallocate(${fd("/d/a")}, 3, 0, 9) = 0 <0.1>`, () => true), /not understood/);
	const longer = opsOf(`1  1.0 fallocate(${fd("/d/a")}, 0, 0, 9) = 0 <0.1>`, () => true);
	deepEqual([longer[0]?.kind, longer[0]?.kind === "write" && longer[0].offset], ["write", 9]);
});

test("a power loss leaves what was fsynced, a process that dies all that it wrote", () => {
	const disk = new CrashDisk(new Map([["/d/old", { bytes: Buffer.from("old"), mode: 0o600 }]]));
	disk.apply(op({ kind: "create", path: "/d/new", isEmptied: false } as DiskOp));
	disk.apply(op({ kind: "write", path: "/d/new", offset: 2, bytes: Buffer.from("abc") } as DiskOp));
	disk.apply(op({ kind: "write", path: "/d/old", offset: 0, bytes: Buffer.from("OLDER") } as DiskOp));
	deepEqual(texts(disk.whole()), { "/d/old": "OLDER", "/d/new": "..abc" });
	deepEqual(texts(disk.synced()), { "/d/old": "old" });
	disk.apply(op({ kind: "sync", path: "/d/new" }));
	disk.apply(op({ kind: "truncate", path: "/d/new", size: 3 } as DiskOp));
	disk.apply(op({ kind: "truncate", path: "/d/new", size: 5 } as DiskOp));
	deepEqual(texts(disk.whole()), { "/d/old": "OLDER", "/d/new": "..a.." });
	deepEqual(texts(disk.synced()), { "/d/old": "old", "/d/new": "..abc" });
	disk.apply(op({ kind: "rename", path: "/d/new", to: "/d/newer" } as DiskOp));
	disk.apply(op({ kind: "remove", path: "/d/old" }));
	deepEqual(Object.keys(texts(disk.whole())), ["/d/newer"]);
	deepEqual(Object.keys(texts(disk.synced())), ["/d/old", "/d/new"]);
	disk.apply(op({ kind: "sync", path: "/d" }));
	deepEqual(texts(disk.synced()), { "/d/newer": "..abc" });
});

test("a torn write leaves its first blocks, and nothing before it changes", () => {
	const disk = new CrashDisk(new Map([["/d/a", { bytes: Buffer.alloc(4 * BLOCK_BYTES, "o"), mode: 0o600 }]]));
	const bytes = Buffer.alloc(3 * BLOCK_BYTES, "n");
	const torn = disk.torn(op({ kind: "write", path: "/d/a", offset: BLOCK_BYTES, bytes } as DiskOp), 2).get("/d/a");
	const letters = Array.from({ length: 4 }, (_, block) => String.fromCharCode(torn?.bytes[block * BLOCK_BYTES] ?? 0));
	deepEqual(letters, ["o", "n", "n", "o"]);
	equal(disk.whole().get("/d/a")?.bytes.indexOf("n"), -1);
});

test("an image replaces the folders it is of, modes with it", () => {
	const folder = mkdtempSync(join(tmpdir(), "daemoneye-image-"));
	try {
		writeFileSync(join(folder, "left"), "over");
		const image = new Map([[join(folder, "deep/a"), { bytes: Buffer.from("a"), mode: 0o640 }]]);
		writeImage(image, [folder]);
		equal(existsSync(join(folder, "left")), false);
		equal(readFileSync(join(folder, "deep/a"), "utf8"), "a");
		deepEqual(filesBelow(folder), image);
	} finally {
		rmSync(folder, { recursive: true });
	}
});
