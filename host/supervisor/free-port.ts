/** A loopback port nobody listens on at the moment of asking. Another process may take it before it is used; callers retry. */
import { createServer } from "node:net";
import { assertInvariant } from "#core/result.ts";

export function freeLoopbackPort(): Promise<number> {
	const { promise, resolve, reject } = Promise.withResolvers<number>();
	const server = createServer();
	server.on("error", reject);
	server.listen(0, "127.0.0.1", () => {
		const address = server.address();
		assertInvariant(typeof address === "object" && address !== null, "a TCP server has an address");
		server.close(() => resolve(address.port));
	});
	return promise;
}
