/**
 * `daemoneye proxy`: makes one more proxy of an enclave (`add`), and runs one on a machine of its own (`run`). Must never touch a proxy
 * that is there already.
 */
import { isIP } from "node:net";
import { resolve } from "node:path";
import { addProxy, startProxyBox } from "../host/enclave/added-proxy.ts";
import { complain, say, visible } from "./console-output.ts";
import { EXIT, type Verb } from "./verb.ts";

type Values = Readonly<Record<string, unknown>>;

const listOf = (value: unknown) =>
	String(value ?? "")
		.split(",")
		.filter((each) => each !== "");

function wrongUsage(sentence: string): number {
	complain(`${sentence} \`daemoneye proxy --help\` shows an example.`);
	return EXIT.usage;
}

async function add(values: Values): Promise<number> {
	const upstream = listOf(values.upstream);
	if (values.id === undefined || upstream.length === 0 || values.listen === undefined || values.health === undefined)
		return wrongUsage("`proxy add` needs --id, --upstream, --listen and --health.");
	const names = listOf(values.name);
	const added = await addProxy({
		dataDir: resolve(String(values.data ?? "data")),
		...{ id: String(values.id), upstream, listen: String(values.listen), health: String(values.health) },
		dnsNames: names.filter((name) => isIP(name) === 0),
		ips: names.filter((name) => isIP(name) !== 0),
		isElsewhere: values.elsewhere === true,
		nowMs: Date.now(),
	});
	if (!added.ok) {
		if (values.json === true) say(JSON.stringify({ ok: false, code: added.code, detail: added.detail }));
		complain(visible(added.detail));
		return EXIT.failed;
	}
	const { uri, nodeDirectory, config, upstream: ways } = added.value;
	if (values.json === true) say(JSON.stringify({ ok: true, uri, nodeDirectory, config, upstream: ways }));
	else {
		say(`${uri} delivers to ${ways.join(", then ")}.`);
		say(
			values.elsewhere === true
				? `Carry ${nodeDirectory} to its machine, then there: daemoneye proxy run --node FOLDER --data DIR`
				: `The next \`daemoneye start\` runs it by ${config}.`,
		);
	}
	return EXIT.fine;
}

async function runBox(values: Values): Promise<number> {
	if (values.node === undefined || values.data === undefined)
		return wrongUsage("`proxy run` needs --node (the folder that `proxy add --elsewhere` made) and --data.");
	const isJson = values.json === true;
	const stopping = new AbortController();
	for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stopping.abort());
	const running = await startProxyBox({
		nodeDirectory: resolve(String(values.node)),
		dataDir: resolve(String(values.data)),
		onState: ({ name, state, detail }) => {
			if (state === "waiting" || state === "failed") complain(visible(detail ?? `${name} ${state}`));
		},
		signal: stopping.signal,
	});
	if (!running.ok) {
		if (stopping.signal.aborted) return EXIT.interrupted;
		complain(visible(running.detail));
		return EXIT.failed;
	}
	const { supervisor, uri, config } = running.value;
	if (isJson) say(JSON.stringify({ ok: true, uri, listen: config.listen, health: config.health }));
	else say(`${uri} listens at ${config.listen}. Ctrl-C stops it; the next start finds what it holds.`);
	const stopped = new Promise<null>((settle) => {
		if (stopping.signal.aborted) settle(null);
		stopping.signal.addEventListener("abort", () => settle(null), { once: true });
	});
	const ended = await Promise.race([stopped, supervisor.finished]);
	await supervisor.stop();
	if (ended === null || ended.ok) return EXIT.fine;
	complain(visible(ended.detail));
	return EXIT.failed;
}

async function run(values: Values, positionals: readonly string[]): Promise<number> {
	const [what, ...rest] = positionals;
	if (rest.length > 0 || (what !== "add" && what !== "run")) return wrongUsage("It is `proxy add` or `proxy run`.");
	return what === "add" ? add(values) : runBox(values);
}

export const proxyVerb: Verb = {
	name: "proxy",
	summary: "Adds a proxy to an enclave, below another one or beside it, or runs one on a machine of its own.",
	usage: "add --id ID --upstream LIST --listen HOST:PORT --health HOST:PORT | run --node DIR --data DIR [--json]",
	example:
		"daemoneye proxy add --data data --id px-site-1 --upstream px-1,sc-1 --listen 127.0.0.1:7543 --health 127.0.0.1:7580",
	options: {
		data: { type: "string" },
		id: { type: "string" },
		upstream: { type: "string" },
		listen: { type: "string" },
		health: { type: "string" },
		name: { type: "string" },
		elsewhere: { type: "boolean" },
		node: { type: "string" },
	},
	optionHelp: {
		data: "add: the enclave's data folder (default: data); run: where the proxy keeps lock and logs",
		id: "add: its name in the enclave",
		upstream: "add: whom it delivers to, best first, by comma: ids known here, or px/ID@host:port, sc/ID@host:port",
		listen: "add: where agents, and proxies below it, connect",
		health: "add: where its supervisor asks how it is, loopback",
		name: "add: names and addresses that agents dial, by comma, for its certificate",
		elsewhere: "add: it runs on a machine of its own: put its configuration into its node folder",
		node: "run: that folder",
	},
	exitHelp: "0 done, or stopped by you; 1 not; 2 usage; 130 interrupted while starting",
	run,
};
