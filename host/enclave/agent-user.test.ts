import { deepEqual, doesNotMatch, equal, match, ok } from "node:assert/strict";
import { spawn } from "node:child_process";
import {
	chmodSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	statSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { addNode, createEnclavePki, openEnclavePki } from "../pki/enclave.ts";
import { agentProcess, makeAgentFiles } from "./agent-process.ts";
import { type AgentFiles, accountsOf, candidatesOf, settleAgentUser } from "./agent-user.ts";
import { BUILT } from "./layout.ts";

const UNUSED_UID = 65_525;
const isReady = existsSync(BUILT.procmond) && existsSync(BUILT.launch) && existsSync(BUILT.agent);
const needsRoot = process.getuid?.() === 0 && isReady ? false : "needs root, procmond and the agent's bundle";

let base: string;
let dataDir: string;

beforeEach(() => {
	base = mkdtempSync(join(tmpdir(), "daemoneye-agent-user-"));
	dataDir = join(base, "data");
});
afterEach(() => rmSync(base, { recursive: true }));

/** Files as a start makes them, but empty. */
function emptyFiles(): AgentFiles {
	const directories = [join(dataDir, "nodes", "agent-a"), join(dataDir, "agents", "a")];
	for (const directory of [...directories, join(dataDir, "config")])
		mkdirSync(directory, { recursive: true, mode: 0o700 });
	writeFileSync(join(dataDir, "nodes", "agent-a", "node.key"), "key", { mode: 0o600 });
	const config = join(dataDir, "config", "agent-a.yaml");
	writeFileSync(config, "agent:", { mode: 0o600 });
	return { directories, config };
}

function ownerOf(path: string): string {
	const { uid, gid, mode } = statSync(path);
	return `${uid}:${gid} ${(mode & 0o777).toString(8)}`;
}

test("the account comes first, then a number nobody has, then the checkout's owner, then root", () => {
	const accounts = accountsOf("root:x:0:0::/:\nann:x:1000:1000::/:\ndaemoneye:x:990:980::/:\nbroken line\n::x:y:\n");
	deepEqual(
		candidatesOf(accounts, 1000).map(({ uid, gid }) => `${uid}:${gid}`),
		["990:980", `${UNUSED_UID}:${UNUSED_UID}`, "1000:1000", "0:0"],
	);
	const taken = [{ name: "x", uid: 1, gid: UNUSED_UID }];
	deepEqual(
		candidatesOf(taken, 0).map(({ uid }) => uid),
		[0],
	);
});

test("what is the agent's belongs to it, and the way there can be passed and not read", { skip: needsRoot }, () => {
	chmodSync(base, 0o711);
	const files = emptyFiles();
	const outside = join(base, "outside");
	writeFileSync(outside, "not the agent's", { mode: 0o600 });
	symlinkSync(outside, join(dataDir, "agents", "a", "link"));
	const settled = settleAgentUser(dataDir, [files]);
	ok(settled.ok, JSON.stringify(settled));
	const { user, sentence } = settled.value;
	ok(user !== undefined && user.uid !== 0, sentence);
	match(sentence, /without capabilities/);
	const { uid, gid } = user;
	for (const path of [dataDir, join(dataDir, "nodes"), join(dataDir, "agents"), join(dataDir, "config")])
		equal(ownerOf(path), `0:${gid} 710`, path);
	for (const path of files.directories) equal(ownerOf(path), `${uid}:${gid} 700`, path);
	equal(ownerOf(join(dataDir, "nodes", "agent-a", "node.key")), `${uid}:${gid} 600`);
	equal(ownerOf(files.config), `${uid}:${gid} 600`);
	equal(ownerOf(outside), "0:0 600", "a link led out of the agent's folder");
});

test("below a closed folder the agent stays root, and the reason names what is out of reach", {
	skip: needsRoot,
}, () => {
	chmodSync(base, 0o700);
	const files = emptyFiles();
	const settled = settleAgentUser(dataDir, [files]);
	ok(settled.ok, JSON.stringify(settled));
	equal(settled.value.user?.uid, 0);
	match(settled.value.sentence, /as root without capabilities/);
	ok(settled.value.sentence.includes(base), settled.value.sentence);
	equal(ownerOf(files.config), "0:0 600");
	equal(ownerOf(dataDir), "0:0 700");
});

/** Starts a real agent as the enclave would and reads what the kernel says of it once it has begun. */
async function statusOfAgent(): Promise<{ status: string; said: string; uid: number | undefined }> {
	const nowMs = Date.now();
	const created = await createEnclavePki(dataDir, {
		enclave: "lab",
		policy: { mode: "solo", traceApprovals: 0, isMaskingRequired: true, traceDepthMax: 8, traceDurationSecsMax: 60 },
		nodes: [{ role: "sc", id: "sc", dnsNames: ["localhost"] }],
		invitees: [{ operatorId: "ada", roles: ["analyst"] }],
		nowMs,
	});
	ok(created.ok, JSON.stringify(created));
	ok((await addNode(dataDir, { role: "agent", id: "a" }, nowMs)).ok);
	const pki = openEnclavePki(dataDir, nowMs);
	ok(pki.ok);
	const node = pki.value.nodes.find(({ uri }) => uri.endsWith("/agent/a"));
	ok(node !== undefined);
	mkdirSync(join(dataDir, "config"), { mode: 0o700 });
	// Port 1: nobody listens there, and the agent goes on capturing without a link.
	const proxy = { listen: "127.0.0.1:1" } as Parameters<typeof makeAgentFiles>[2]["proxy"];
	const options = { id: "a", siteTag: "local", scopeCgroup: "", source: "proc" } as const;
	const files = makeAgentFiles(dataDir, options, { proxy, node });
	const settled = settleAgentUser(dataDir, [files]);
	ok(settled.ok, JSON.stringify(settled));
	const { command, args } = agentProcess("a", files, settled.value.user);
	const child = spawn(command, [...args], { stdio: ["ignore", "ignore", "pipe"] });
	try {
		let said = "";
		child.stderr.on("data", (chunk: Buffer) => {
			said += chunk;
		});
		const deadlineMs = Date.now() + 10_000;
		while (!said.includes("agent_started") && child.exitCode === null && Date.now() < deadlineMs)
			await new Promise((settle) => setTimeout(settle, 20));
		return { status: readFileSync(`/proc/${child.pid}/status`, "utf8"), said, uid: settled.value.user?.uid };
	} finally {
		child.kill("SIGKILL");
	}
}

for (const [name, mode, isRoot] of [
	["a running agent has its own user and no capability", 0o711, false],
	["an agent that must stay root has no capability either", 0o700, true],
] as const)
	test(name, { skip: needsRoot }, async () => {
		chmodSync(base, mode);
		const { status, said, uid } = await statusOfAgent();
		match(said, /agent_started/);
		equal(uid === 0, isRoot);
		for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
			match(status, new RegExp(`^${set}:\\t0{16}$`, "m"), said);
		match(status, /^NoNewPrivs:\t1$/m);
		match(status, new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, "m"));
		match(status, /^Groups:\t\s*$/m);
		doesNotMatch(said, /EACCES|EPERM/);
	});
