/**
 * Is a child ready to serve? A health check is one short question; waiting repeats it until yes, until the child has gone, or
 * until the time is over. Guarantees that one unanswered question ends within `healthAnswerMs`. Must never change the child.
 */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { connect, type NetConnectOpts } from "node:net";
import { HOST_LIMITS } from "../limits.ts";

export type HealthCheck =
	/** GET answers 2xx; an `https:` address also works, with `socketPath` it goes over that Unix socket. */
	| { readonly kind: "http"; readonly url: string; readonly socketPath?: string }
	| { readonly kind: "tcp"; readonly host: string; readonly port: number }
	| { readonly kind: "unix"; readonly path: string }
	| { readonly kind: "function"; readonly check: () => Promise<boolean> };

/** Asks once. False for every failure: a child that is not ready fails in many ways, and all mean "not yet". */
export async function isHealthy(check: HealthCheck): Promise<boolean> {
	if (check.kind === "http") return answersHttp(check.url, check.socketPath);
	if (check.kind === "tcp") return accepts({ host: check.host, port: check.port });
	if (check.kind === "unix") return accepts({ path: check.path });
	const timeout = Promise.withResolvers<boolean>();
	const timer = setTimeout(() => timeout.resolve(false), HOST_LIMITS.healthAnswerMs);
	try {
		return await Promise.race([check.check().catch(() => false), timeout.promise]);
	} finally {
		clearTimeout(timer);
	}
}

function answersHttp(url: string, socketPath: string | undefined): Promise<boolean> {
	const { promise, resolve } = Promise.withResolvers<boolean>();
	const isTls = url.startsWith("https:");
	// Whether it answers is all that is asked, nothing it says is believed: no certificate has to fit the address dialled here.
	const trust = isTls ? { rejectUnauthorized: false } : {};
	const where = socketPath === undefined ? {} : { socketPath };
	const options = { ...trust, ...where, agent: false, timeout: HOST_LIMITS.healthAnswerMs } as const;
	const question = (isTls ? requestHttps : requestHttp)(url, options, (answer) => {
		answer.resume();
		const status = answer.statusCode ?? 0;
		resolve(status >= 200 && status < 300);
	});
	question.on("timeout", () => question.destroy());
	question.on("error", () => resolve(false));
	question.on("close", () => resolve(false));
	question.end();
	return promise;
}

function accepts(options: NetConnectOpts): Promise<boolean> {
	const { promise, resolve } = Promise.withResolvers<boolean>();
	const socket = connect(options);
	socket.setTimeout(HOST_LIMITS.healthAnswerMs, () => socket.destroy());
	socket.on("connect", () => {
		resolve(true);
		socket.destroy();
	});
	socket.on("error", () => resolve(false));
	socket.on("close", () => resolve(false));
	return promise;
}
