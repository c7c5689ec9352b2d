/** Requests and responses as the workers use them, without streams: what is sent is whole, and an upgrade carries its socket. */

export interface SimResponseInit {
	readonly status?: number;
	readonly headers?: Record<string, string>;
	readonly webSocket?: unknown;
}

export class SimRequest {
	readonly url: string;
	readonly method: string;
	readonly headers: Headers;
	readonly body: string;
	readonly signal: AbortSignal | null;

	constructor(
		url: string,
		init: { method?: string; headers?: Record<string, string>; body?: string; signal?: AbortSignal } = {},
	) {
		this.url = url;
		this.method = init.method ?? "GET";
		this.headers = new Headers(init.headers ?? {});
		this.body = init.body ?? "";
		this.signal = init.signal ?? null;
	}
}

export class SimResponse {
	readonly status: number;
	readonly headers: Headers;
	readonly webSocket: unknown;
	readonly #body: Uint8Array;

	constructor(body: string | Uint8Array | null, init: SimResponseInit = {}) {
		this.#body = typeof body === "string" ? new TextEncoder().encode(body) : (body ?? new Uint8Array());
		this.status = init.status ?? 200;
		this.headers = new Headers(init.headers ?? {});
		this.webSocket = init.webSocket ?? null;
	}

	static json(value: unknown, init: SimResponseInit = {}): SimResponse {
		return new SimResponse(JSON.stringify(value), init);
	}

	async text(): Promise<string> {
		return new TextDecoder().decode(this.#body);
	}

	async json(): Promise<unknown> {
		return JSON.parse(await this.text());
	}

	async arrayBuffer(): Promise<ArrayBuffer> {
		return this.#body.slice().buffer as ArrayBuffer;
	}
}

/** The workers' globals. */
export function installHttp(): void {
	Object.assign(globalThis, { Request: SimRequest, Response: SimResponse });
}
