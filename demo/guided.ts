/**
 * The demo for a person: one console link, and an intrusion that goes on as far as they have come. It watches the product only
 * through its public health answer and the kernel's own /proc, and waits for Enter between the stages. Must never sign for them.
 */
import { createInterface } from "node:readline";
import { say } from "../cli/console-output.ts";
import { EXIT } from "../cli/verb.ts";
import { DEMO_LIMITS, openStage, type Stage } from "./stage.ts";

export interface GuidedOptions {
	readonly signal: AbortSignal;
	readonly onStep: (text: string) => void;
	readonly onTrouble: (text: string) => void;
}

interface Scene {
	readonly prompt: string;
	play(stage: Stage): Promise<{ readonly ok: boolean; readonly detail?: string }>;
}

const SCENES: readonly Scene[] = [
	{
		prompt: "Sign in with the link above, then press Enter: the attacker breaks into web-01.",
		play: (stage) => stage.hosts.exploit(),
	},
	{
		prompt: "Open the hit and start the trace, then press Enter: the attacker finds a key and goes on to db-01.",
		play: (stage) => stage.hosts.stage2(),
	},
	{
		prompt: "Open the trace and follow the hop to db-01, then press Enter: the attacker works there.",
		play: (stage) => stage.hosts.stage3(),
	},
];

/** Resolves with a line, or null when the input ends or the person interrupts. */
function readLine(signal: AbortSignal): Promise<string | null> {
	const { promise, resolve } = Promise.withResolvers<string | null>();
	const reader = createInterface({ input: process.stdin });
	const finish = (line: string | null) => {
		resolve(line);
		reader.close();
	};
	reader.once("line", (line) => finish(line));
	reader.once("close", () => resolve(null));
	signal.addEventListener("abort", () => finish(null), { once: true });
	return promise;
}

async function playScenes(stage: Stage, options: GuidedOptions): Promise<number> {
	for (const scene of SCENES) {
		say(`\n${scene.prompt}`);
		if ((await readLine(options.signal)) === null) return EXIT.interrupted;
		const played = await scene.play(stage);
		if (!played.ok) {
			options.onTrouble(played.detail ?? "the scene could not be played");
			return EXIT.failed;
		}
	}
	say("\nNow replay what happened, stop the trace on both hosts (Stop in the trace's header), and export the package.");
	say(`Check it: cli/daemoneye verify FILE --root-fingerprint ${stage.enclave.rootFingerprint}`);
	say("Press Enter or Ctrl-C when you are done: everything is removed.");
	await readLine(options.signal);
	return EXIT.fine;
}

export async function playGuided(options: GuidedOptions): Promise<number> {
	const stage = await openStage({
		policy: { mode: "solo", traceApprovals: 0, ...DEMO_LIMITS },
		invitees: [{ operatorId: "operator", roles: ["viewer", "analyst", "approver", "exporter", "auditor"] }],
		...options,
	});
	if (!stage.ok) {
		options.onTrouble(stage.detail);
		return options.signal.aborted ? EXIT.interrupted : EXIT.failed;
	}
	try {
		say(`\nConsole: ${stage.value.enclave.firstLinks[0]?.url ?? stage.value.enclave.consoleUrl}`);
		return await playScenes(stage.value, options);
	} finally {
		await stage.value.close();
	}
}
