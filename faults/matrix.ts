/** The rows of the fault matrix, in the plan's order and with its numbers; rows that wait for something say for what. */
import {
	killAgentAtEveryCall,
	killAtRandom,
	killCenterAtEveryCall,
	killProxyAtEveryCall,
	stopAndContinue,
} from "./kill.ts";
import type { AwaitedRow, FaultRow } from "./row.ts";

export const ROWS: readonly FaultRow[] = [
	{
		number: 1,
		fault: "SIGKILL at every Nth write, fsync, rename",
		where: "agent",
		done: "at each pwrite64, fdatasync, fsync, ftruncate, unlink, rename of a life of three rounds, every other life without a hop",
		isInCi: true,
		planted: "chunk_dropped",
		run: killAgentAtEveryCall,
	},
	{
		number: 2,
		fault: "SIGKILL at every Nth write, fsync",
		where: "proxy",
		done: "at each of the first 5 pwrite64 and fsync of the running workerd after an attach, while an agent sends",
		isInCi: true,
		planted: "ack_before_commit",
		run: killProxyAtEveryCall,
	},
	{
		number: 3,
		fault: "SIGKILL at every Nth write, fsync, rename",
		where: "Security Center",
		done: "at each of the first 5 of workerd (pwrite64, fsync), sqld (the same) and signer (fsync, rename); there is no tile writer yet",
		isInCi: true,
		planted: "ack_before_commit",
		run: killCenterAtEveryCall,
	},
	{
		number: 4,
		fault: "random kill of any node, 1,000 rounds",
		where: "two proxies and the Security Center",
		done: "40 rounds by seed over all processes and both agents",
		isInCi: false,
		planted: "ack_before_commit",
		run: killAtRandom,
	},
	{
		number: 22,
		fault: "SIGSTOP 60 s, CONT",
		where: "each",
		done: "proxy, Security Center, sqld and agent 3 s each, signer 12 s, while an agent sends",
		isInCi: true,
		planted: "dedup_off",
		run: stopAndContinue,
	},
];

export const AWAITED: readonly AwaitedRow[] = [];
