/** What `cloudflare:workers` gives the classes here: bases that keep context and bindings, as workerd's do. */

export class DurableObject {
	readonly ctx: unknown;
	readonly env: unknown;

	constructor(ctx: unknown, env: unknown) {
		this.ctx = ctx;
		this.env = env;
	}
}

export class WorkerEntrypoint {
	readonly ctx: unknown;
	readonly env: unknown;

	constructor(ctx: unknown, env: unknown) {
		this.ctx = ctx;
		this.env = env;
	}
}
