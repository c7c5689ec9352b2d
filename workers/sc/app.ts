/**
 * The Security Center's HTTP face: the console's routes under /api and the built console itself. Guarantees that every answer
 * passes the guard, also those of errors and of files. What fails for want of the store is a 503 that says so.
 */
import { Hono } from "hono";
import { WATCH_NAME } from "../../durable/faces.ts";
import { logLine } from "../../durable/log.ts";
import { answerMetrics } from "../edge/metrics-door.ts";
import { commandRoutes } from "./http/command-routes.ts";
import { consoleFile } from "./http/console-files.ts";
import { evidenceRoutes } from "./http/evidence-routes.ts";
import { exportRoutes } from "./http/export-routes.ts";
import { boundedBody, ownOrigin, type ScHono, securityHeaders, sessionRequired } from "./http/guard.ts";
import { problem } from "./http/problems.ts";
import { sessionRoutes } from "./http/session-routes.ts";
import { centerMetrics } from "./metrics.ts";

const api = new Hono<ScHono>()
	.use(ownOrigin, boundedBody, sessionRequired)
	.use(async (context, next) => {
		await next();
		if (!context.res.headers.has("cache-control")) context.res.headers.set("cache-control", "no-store");
	})
	.route("/", sessionRoutes)
	.route("/", evidenceRoutes)
	.route("/", exportRoutes)
	.route("/commands", commandRoutes)
	.all("*", () => problem({ code: "not_found", detail: "There is no such route." }));

export const app = new Hono<ScHono>()
	.use(securityHeaders)
	.get("/healthz", async (context) => {
		// The supervisor's question also wakes the watch after a start. Nobody has to be somebody to ask: the watch bounds what it costs.
		const { storedBatches } = await context.env.FLEET_WATCH.getByName(WATCH_NAME).health();
		return context.json({ status: "ok", storedBatches });
	})
	.get("/metrics", (context) => answerMetrics(context.req.raw, context.env, () => centerMetrics(context.env)))
	.route("/api", api)
	.get("*", (context) => consoleFile(context.env.CONSOLE, new URL(context.req.url).pathname))
	.all("*", () => problem({ code: "method_not_allowed", detail: "Files are read only." }));

app.onError((error, context) => {
	logLine("error", "request_failed", { method: context.req.method, path: context.req.path, detail: error.message });
	return problem({ code: "store_unavailable", detail: "The Security Center could not answer; see its log." });
});

export type App = typeof app;
