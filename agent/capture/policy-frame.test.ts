import assert from "node:assert/strict";
import { type Duplex, duplexPair } from "node:stream";
import { test } from "node:test";
import {
	BARE_CAPTURE_POLICY,
	CAPTURE_POLICY_LIMITS,
	type CapturePolicy,
	PROPOSED_CAPTURE_POLICY,
} from "#core/trust/capture-policy.ts";
import { ProcessTable } from "../process-table/process-table.ts";
import { Collector } from "./collector.ts";
import { type CaptureFrame, FrameReader, tagBigint, tagBytes, tagNumber } from "./frame.ts";
import { LENGTH_MAX, PREFIX_BYTES, type TagName } from "./layout.ts";
import { encodePolicy } from "./policy-frame.ts";

function framesOf(bytes: Uint8Array): CaptureFrame[] {
	const read = new FrameReader().push(bytes);
	assert.ok(read.ok, read.ok ? "" : read.detail);
	return read.value.filter((frame): frame is CaptureFrame => frame.kind !== null);
}

function frameOf(policy: CapturePolicy): CaptureFrame {
	const [frame] = framesOf(encodePolicy(policy).bytes);
	assert.ok(frame);
	return frame;
}

const listOf = (frame: CaptureFrame, tag: TagName) => {
	const text = Buffer.from(tagBytes(frame, tag) ?? []).toString();
	return text === "" ? [] : text.split("\0");
};

test("the policy frame holds the whole policy", () => {
	const policy = {
		...PROPOSED_CAPTURE_POLICY,
		hashBytesMax: 2 ** 32,
		newFileHashBytesMax: 9,
		allowsMemoryHeaders: true,
	};
	const frame = frameOf(policy);
	assert.equal(frame.kind, "policy");
	assert.deepEqual(listOf(frame, "WATCH_PATHS"), policy.watchPaths);
	assert.deepEqual(listOf(frame, "CREDENTIAL_PATHS"), policy.credentialPaths);
	assert.deepEqual(listOf(frame, "ENV_NAMES"), policy.environmentNames);
	assert.deepEqual(
		[tagBigint(frame, "HASH_BYTES_MAX"), tagBigint(frame, "NEW_FILE_BYTES_MAX"), tagNumber(frame, "MEMORY_HEADERS")],
		[2n ** 32n, 9n, 1],
	);
	assert.deepEqual(listOf(frameOf(BARE_CAPTURE_POLICY), "WATCH_PATHS"), []);
	assert.equal(tagNumber(frameOf(BARE_CAPTURE_POLICY), "MEMORY_HEADERS"), 0);
});

test("the largest policy is one frame, and a path that no kernel key holds is left out, not cut", () => {
	const { watchPathsMax, credentialPathsMax, watchPathLengthMax } = CAPTURE_POLICY_LIMITS;
	const path = `/${"x".repeat(watchPathLengthMax - 1)}`;
	const largest = {
		...BARE_CAPTURE_POLICY,
		watchPaths: Array.from({ length: watchPathsMax }, () => path),
		credentialPaths: Array.from({ length: credentialPathsMax }, () => path),
		environmentNames: Array.from({ length: 32 }, () => "E".repeat(64)),
	};
	const { bytes, leftOutCount } = encodePolicy(largest);
	assert.ok(bytes.length <= LENGTH_MAX + PREFIX_BYTES);
	assert.equal(leftOutCount, 0);
	const wide = `/${"é".repeat(watchPathLengthMax - 1)}`;
	const encoded = encodePolicy({ ...largest, watchPaths: [wide, "/etc/"], credentialPaths: [wide] });
	assert.equal(encoded.leftOutCount, 2);
	const [frame] = framesOf(encoded.bytes);
	assert.ok(frame);
	assert.deepEqual([listOf(frame, "WATCH_PATHS"), listOf(frame, "CREDENTIAL_PATHS")], [["/etc/"], []]);
});

function startCollector(policy: CapturePolicy) {
	const [ours, theirs] = duplexPair();
	const received: CaptureFrame[] = [];
	const reader = new FrameReader();
	theirs.on("data", (chunk: Buffer) => {
		const read = reader.push(chunk);
		assert.ok(read.ok);
		received.push(...read.value.filter((frame): frame is CaptureFrame => frame.kind !== null));
	});
	const codes: string[] = [];
	const collector = new Collector(ours as Duplex, {
		config: { scopeCgroup: "", source: "auto", pollMs: 200, pollsConnections: true },
		policy,
		log: (code) => codes.push(code),
		onFrame: () => {},
		onEnd: () => {},
	});
	return { collector, received, codes };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("the collector hears the policy right after its configuration, and each later one", async () => {
	const wide = `/${"é".repeat(100)}`;
	const { collector, received, codes } = startCollector({ ...BARE_CAPTURE_POLICY, watchPaths: ["/a/"] });
	collector.setPolicy({ ...BARE_CAPTURE_POLICY, watchPaths: ["/b/", wide] });
	await settled();
	assert.deepEqual(
		received.map((frame) => [frame.kind, ...listOf(frame, "WATCH_PATHS")]),
		[["configure"], ["policy", "/a/"], ["policy", "/b/"]],
	);
	assert.deepEqual(codes, ["policy_path_too_long"]);
	collector.stop();
});

test("each wish of a trace is one bit of its slot", async () => {
	const { collector, received } = startCollector(BARE_CAPTURE_POLICY);
	const entry = new ProcessTable({ machineId: "m", bootId: "b" }).observe({ tgid: 7, startTicks: 9n });
	const none = { cmdlines: false, network: false, fileMeta: false, memoryHeaders: false };
	const wishes = [none, ...Object.keys(none).map((wish) => ({ ...none, [wish]: true }))];
	for (const [slot, collects] of wishes.entries()) void collector.addSlot({ slot, entry, depth: 3, collects });
	await settled();
	const bits = received.filter(({ kind }) => kind === "trace_add").map((frame) => tagNumber(frame, "COLLECT"));
	assert.deepEqual(bits, [0, 4, 2, 1, 8]);
	collector.stop();
});
