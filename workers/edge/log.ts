/** The one log format of both tiers; it lives where the lowest of them can reach it. */
export { type LogLevel, logLine } from "../../durable/log.ts";
