/**
 * Whom the agent of this machine runs as. Guarantees that the choice is tried, not guessed: the launcher becomes the user as it
 * will for the agent and asks the kernel for every file the agent needs. The first of these that can reach them is taken: the
 * account `daemoneye`, a number no account has, the owner of this checkout, and at last the user who starts us; whoever it is
 * loses every capability. Must never leave an agent's keys or data owned by a user it does not run as.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, lchownSync, lstatSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fail, ok, type Result } from "#core/result.ts";
import { BUILT } from "./layout.ts";

export type AgentUserCode =
	/** No user, not even root without capabilities, can read what the agent needs; the detail names the file. */
	"agent_files_unreachable";

export interface AgentUser {
	readonly uid: number;
	readonly gid: number;
	/** As a person would name it. */
	readonly name: string;
}

export interface AgentUserChoice {
	/** Absent: the agent keeps the user who starts it. */
	readonly user?: AgentUser;
	/** One line for whoever starts the enclave. */
	readonly sentence: string;
}

/** What one agent needs, all of it inside the data folder. */
export interface AgentFiles {
	/** Its identity and its data: owned by the agent's user, entered by nobody else. */
	readonly directories: readonly string[];
	readonly config: string;
}

const ACCOUNT = "daemoneye";
/**
 * Above what systemd gives to dynamic users (up to 65,519) and inside what Debian keeps reserved: nothing else runs as it. Not
 * `nobody`, whose other processes could then attach to the agent and read its keys.
 */
const UNUSED_UID = 65_525;
/** Root only, or root and one group that may pass through and not list. */
const CLOSED = 0o700;
const PASSED_THROUGH = 0o710;

/** Reads name, uid and gid from the lines of passwd(5). */
export function accountsOf(passwd: string): AgentUser[] {
	return passwd.split("\n").flatMap((line) => {
		const [name = "", , uid = "", gid = ""] = line.split(":");
		return /^\d+$/.test(uid) && /^\d+$/.test(gid) ? [{ name, uid: Number(uid), gid: Number(gid) }] : [];
	});
}

/** In order of preference; root without capabilities comes last. */
export function candidatesOf(accounts: readonly AgentUser[], checkoutUid: number): AgentUser[] {
	const named = accounts.find(({ name }) => name === ACCOUNT);
	const unused = { name: `uid ${UNUSED_UID}`, uid: UNUSED_UID, gid: UNUSED_UID };
	const isFree = !accounts.some(({ uid, gid }) => uid === UNUSED_UID || gid === UNUSED_UID);
	const owner = accounts.find(({ uid }) => uid === checkoutUid && uid !== 0);
	return [
		...(named === undefined ? [] : [named]),
		...(isFree ? [unused] : []),
		...(owner === undefined ? [] : [owner]),
		{ name: "root", uid: 0, gid: 0 },
	];
}

/** Null = everything is within reach, else what the launcher said. */
function outOfReach(user: AgentUser, paths: readonly string[]): string | null {
	const tried = spawnSync(BUILT.launch, ["--can-read", "--agent-user", String(user.uid), "--", ...paths], {
		encoding: "utf8",
	});
	return tried.status === 0 ? null : `${tried.stdout ?? ""}${tried.stderr ?? ""}${tried.error?.message ?? ""}`.trim();
}

/** Gives a tree away without following a link out of it. */
function giveTree(path: string, user: AgentUser): void {
	const { uid, gid } = lstatSync(path);
	if (uid !== user.uid || gid !== user.gid) lchownSync(path, user.uid, user.gid);
	if (!lstatSync(path).isDirectory()) return;
	for (const name of readdirSync(path)) giveTree(join(path, name), user);
}

/** The folders between the data folder and the agent's own: the agent passes through, and sees no name in them. */
function openWay(dataDir: string, path: string, user: AgentUser): void {
	for (let folder = dirname(path); folder.startsWith(dataDir); folder = dirname(folder)) {
		lchownSync(folder, 0, user.gid);
		chmodSync(folder, user.uid === 0 ? CLOSED : PASSED_THROUGH);
	}
}

function handOver(dataDir: string, agents: readonly AgentFiles[], user: AgentUser): void {
	for (const { directories, config } of agents) {
		for (const directory of directories) {
			openWay(dataDir, directory, user);
			giveTree(directory, user);
		}
		openWay(dataDir, config, user);
		giveTree(config, user);
	}
}

function sentenceOf(user: AgentUser, refused: readonly string[]): string {
	const first = refused[0] ?? "what it must read";
	if (user.uid !== 0) return `the agent runs as ${user.name}, without capabilities`;
	return `the agent runs as root without capabilities, because no user of its own can reach ${first}`;
}

/** Chooses the user and makes it the owner of what is the agent's. Only root can; anybody else stays who they are. */
export function settleAgentUser(
	dataDir: string,
	agents: readonly AgentFiles[],
): Result<AgentUserChoice, AgentUserCode> {
	if (process.getuid?.() !== 0) return ok({ sentence: "the agent runs as you, without capabilities" });
	const passwd = existsSync("/etc/passwd") ? readFileSync("/etc/passwd", "utf8") : "";
	const shared = [process.execPath, BUILT.agent];
	const own = agents.flatMap(({ directories, config }) => [...directories, config]);
	const refused: string[] = [];
	for (const user of candidatesOf(accountsOf(passwd), lstatSync(BUILT.agent).uid)) {
		// What is not ours to hand over is asked first, so that nothing changes owner for nothing.
		const outside = outOfReach(user, [...shared, dirname(dataDir)]);
		if (outside === null) handOver(dataDir, agents, user);
		const missing = outside ?? outOfReach(user, own);
		if (missing === null) return ok({ user, sentence: sentenceOf(user, refused) });
		refused.push(missing);
	}
	return fail(
		"agent_files_unreachable",
		`The agent must run without capabilities and cannot reach ${refused.at(-1)}. Make it readable for its owner, or put the checkout and the data folder elsewhere.`,
	);
}
