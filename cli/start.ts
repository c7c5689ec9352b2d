/**
 * `daemoneye start`: the enclave on this machine, for one person. Guarantees one console link at the end, a clean stop on Ctrl-C,
 * and one sentence when something is in the way. Must never serve the console beyond loopback without HTTPS.
 */
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { type BoxPorts, DEFAULT_PORTS } from "../host/config/box-config.ts";
import { type EnclaveStart, type RunningEnclave, startEnclave } from "../host/enclave/enclave.ts";
import { captureNote } from "../host/enclave/preflight.ts";
import { waitForEvents } from "../host/enclave/readiness.ts";
import { complain, say, visible } from "./console-output.ts";
import { EXIT, type Verb } from "./verb.ts";

/** One person alone: a named mode, shown in the console, the package and the verdict (DESIGN §5). */
const SOLO_POLICY = {
	mode: "solo",
	traceApprovals: 0,
	isMaskingRequired: true,
	traceDepthMax: 64,
	traceDurationSecsMax: 86_400,
} as const;

/** This host's name as a node id. */
export function hostNodeId(name: string): string {
	const id = name
		.toLowerCase()
		.replace(/[^a-z0-9.-]/g, "-")
		.replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "")
		.slice(0, 63);
	return id === "" ? "this-host" : id.replace(/[^a-z0-9]+$/, "");
}

function portsFrom(base: unknown): BoxPorts | null {
	if (base === undefined) return DEFAULT_PORTS;
	const first = Number(base);
	if (!Number.isInteger(first) || first < 1024 || first > 65_000) return null;
	return {
		console: first,
		centerLinks: first + 1,
		proxyLinks: first + 2,
		proxyHealth: first + 3,
		storeHttp: first + 4,
		storeAdmin: first + 5,
	};
}

/** Over HTTPS a browser must be told about the enclave's root once. */
function trustAdvice(running: RunningEnclave, dataDir: string): string[] {
	if (!running.consoleUrl.startsWith("https:")) return [];
	const target = "/usr/local/share/ca-certificates/daemoneye.crt";
	return [
		"         Browsers warn until they trust this root. After comparing the fingerprint, on each of them (Debian):",
		`         sudo cp ${join(dataDir, "ca.pem")} ${target} && sudo update-ca-certificates`,
	];
}

function describe(running: RunningEnclave, dataDir: string): string[] {
	const first = running.firstLinks[0];
	return [
		"",
		first === undefined ? `Console: ${running.consoleUrl}` : `Console: ${first.url}`,
		...(first === undefined
			? []
			: ["         This link signs you in once, and makes your key in the browser that opens it."]),
		`Data:    ${dataDir}`,
		`Root:    sha256 ${running.rootFingerprint}`,
		...trustAdvice(running, dataDir),
		"",
		"Ctrl-C stops everything; the next start finds it again.",
	];
}

async function run(values: Readonly<Record<string, unknown>>): Promise<number> {
	const dataDir = resolve(String(values.data ?? "data"));
	const ports = portsFrom(values["port-base"]);
	if (ports === null) {
		complain("--port-base must be a whole number from 1024 to 65000.");
		return EXIT.usage;
	}
	const host = values.host === undefined ? undefined : String(values.host).toLowerCase();
	if (host !== undefined && !/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(host)) {
		complain(`--host must be the DNS name by which browsers reach this machine; "${visible(host)}" is none.`);
		return EXIT.usage;
	}
	const isJson = values.json === true;
	const tell = (line: string) => (isJson ? undefined : say(line));
	const stopping = new AbortController();
	for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stopping.abort());
	const note = captureNote();
	if (note !== null) tell(note);
	const agentId = hostNodeId(hostname());
	const start: EnclaveStart = {
		dataDir,
		enclave: "solo",
		ports,
		...(host === undefined ? {} : { consoleHost: host }),
		policy: SOLO_POLICY,
		invitees: [{ operatorId: "operator", roles: ["viewer", "analyst", "approver", "exporter", "auditor"] }],
		agents: [{ id: agentId, siteTag: "local", scopeCgroup: "", source: "auto" }],
		onStep: tell,
		onState: ({ name, state, detail }) => {
			if (state === "ready") tell(`${name} is up`);
			if (state === "waiting" || state === "failed") complain(visible(detail ?? `${name} ${state}`));
		},
		signal: stopping.signal,
	};
	const running = await startEnclave(start);
	if (!running.ok) {
		if (stopping.signal.aborted) return EXIT.interrupted;
		complain(running.detail);
		return EXIT.failed;
	}
	return serve(running.value, { dataDir, stopping: stopping.signal, isJson });
}

interface Serving {
	readonly dataDir: string;
	readonly stopping: AbortSignal;
	readonly isJson: boolean;
}

async function serve(enclave: RunningEnclave, serving: Serving): Promise<number> {
	const { supervisor } = enclave;
	const { stopping, isJson, dataDir } = serving;
	const stopped = new Promise<void>((settle) => {
		if (stopping.aborted) settle();
		stopping.addEventListener("abort", () => settle(), { once: true });
	});
	if (!isJson) say("waiting for the first events");
	const arrived = await waitForEvents(enclave, stopping);
	if (!arrived.ok && !stopping.aborted) complain(arrived.detail);
	if (!stopping.aborted) {
		if (isJson)
			say(JSON.stringify({ ok: arrived.ok, console: enclave.firstLinks[0]?.url ?? enclave.consoleUrl, dataDir }));
		else for (const line of describe(enclave, dataDir)) say(line);
	}
	const ended = await Promise.race([stopped.then(() => null), supervisor.finished]);
	if (ended === null && !isJson) say("\nstopping");
	await supervisor.stop();
	if (ended !== null && !ended.ok) {
		complain(visible(ended.detail));
		return EXIT.failed;
	}
	if (!isJson) say("stopped; the data stays");
	return EXIT.fine;
}

export const startVerb: Verb = {
	name: "start",
	summary: "Starts an enclave on this machine: store, Security Center, proxy, and an agent watching this host.",
	usage: "[--data DIR] [--port-base N] [--host NAME] [--json]",
	example: "npm start -- --data /var/lib/daemoneye",
	options: { data: { type: "string" }, "port-base": { type: "string" }, host: { type: "string" } },
	optionHelp: {
		data: "where everything is kept (default: data)",
		host: "at the first start: serve the console to others under this name, over HTTPS",
		"port-base": "six free ports from here, at the first start (default: 8460 and others)",
	},
	exitHelp: "0 stopped by you, 1 could not start or kept failing, 2 usage, 130 interrupted while starting",
	run,
};
