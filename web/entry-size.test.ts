/** What the build must keep: the entry's size, and a page that needs nothing inline and nothing remote. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

/** Read over slow links to the enclave's edge: the console is usable within a second on 1 Mbit/s. */
const ENTRY_GZIP_BYTES_MAX = 110 * 1024;

let root: string;

before(async () => {
	root = mkdtempSync(join(tmpdir(), "console-size-"));
	await build({
		configFile: fileURLToPath(new URL("./vite.config.ts", import.meta.url)),
		logLevel: "silent",
		build: { outDir: root },
	});
});

after(() => rmSync(root, { recursive: true, force: true }));

const page = () => readFileSync(join(root, "index.html"), "utf8");
const assets = (ending: string) => readdirSync(join(root, "assets")).filter((name) => name.endsWith(ending));

test("the entry's JavaScript stays within its budget", () => {
	const entry = /<script type="module"[^>]* src="\.\/(assets\/[^"]+\.js)">/.exec(page())?.[1];
	assert.ok(entry, "the page names its entry");
	const bytes = gzipSync(readFileSync(join(root, entry))).length;
	assert.ok(bytes <= ENTRY_GZIP_BYTES_MAX, `${bytes} bytes`);
});

test("the page has nothing inline and nothing from elsewhere", () => {
	assert.doesNotMatch(page(), /<style|\sstyle=|\son[a-z]+=|https?:|data:/);
	for (const script of page().match(/<script[^>]*>/g) ?? []) assert.match(script, / src="\.\/assets\//);
	for (const sheet of assets(".css")) {
		const text = readFileSync(join(root, "assets", sheet), "utf8");
		assert.doesNotMatch(text, /https?:|data:|@import/);
	}
});

test("no template carries a style attribute, which the policy would drop", () => {
	for (const script of assets(".js")) {
		const text = readFileSync(join(root, "assets", script), "utf8");
		assert.doesNotMatch(text, /<[a-z][^<>`]* style=/);
		assert.doesNotMatch(text, /\beval\(|new Function\(/);
	}
});
