/**
 * Bad input from those who may speak to us (the plan's §7, as far as it is the tree's): each refused by a name, counted, and nothing else
 * disturbed. Tests of other suites prove most of it on real processes; here they stand by
 * their names, each with the bug that must make it fail.
 */
import { poison, sendThrice } from "./duplicates.ts";
import { provedBy } from "./elsewhere.ts";
import type { FaultRow } from "./row.ts";

/** Rows of §7 are told from those of §6 by this. */
export const ATTACKS_FROM = 700;

/** How people call a row: `12` of §6, `7.16` of §7. */
export const rowName = (row: number): string => (row > ATTACKS_FROM ? `7.${row - ATTACKS_FROM}` : String(row));

const EVIDENCE_PATH = "miniflare-tests/evidence-path.test.ts";
const PROVED = { where: "proxy, Security Center", isInCi: false, suite: "flows" } as const;

export const BAD_INPUT: readonly FaultRow[] = [
	{
		...{ ...PROVED, number: ATTACKS_FROM + 1, planted: "signature_unchecked" },
		fault: "batch with a flipped bit, of another agent, unsigned",
		done: "each refused by name and kept aside; the good ones around them are stored. Row 32 does the same in a whole enclave",
		run: provedBy({
			file: EVIDENCE_PATH,
			title: "forged, foreign and torn batches are refused by name and the good ones around them are stored",
		}),
	},
	{
		...{ number: ATTACKS_FROM + 4, where: PROVED.where, isInCi: false, planted: "dedup_off" },
		fault: "replayed batch, same bytes",
		done: "row 23 of every CI run: each three times, by two proxies, and all once more when long stored; a flow counts the receipts",
		run: sendThrice,
	},
	{
		...{ ...PROVED, number: ATTACKS_FROM + 5, planted: "fork_unseen" },
		fault: "number rolled back; same number, other bytes; broken prev_hash",
		done: "a fork is refused, kept as evidence and an alarm; row 16 does it with a whole disk of yesterday",
		run: provedBy({
			file: EVIDENCE_PATH,
			title: "two histories of one stream are a fork: refused, and the first stays",
		}),
	},
	{
		...{ ...PROVED, number: ATTACKS_FROM + 15, planted: "nonce_reused" },
		fault: "hello relayed between proxies; nonce reuse",
		done: "a challenge opens one link, and a hello names the server it was made for",
		run: provedBy(
			{ file: "miniflare-tests/hello.test.ts", title: "a nonce opens one link" },
			{
				file: "miniflare-tests/hello.test.ts",
				title: "every refused hello has a name, and no refusal makes an object",
			},
		),
	},
	{
		...{ ...PROVED, number: ATTACKS_FROM + 16, planted: "inflate_uncapped" },
		fault: "zstd bomb, many frames",
		done: "refused without being inflated whole; the link of the carrier is dropped by name",
		run: provedBy(
			{
				file: "durable/zstd-frames.test.ts",
				title: "one frame that holds a bomb is refused without being inflated whole",
			},
			{
				file: "durable/zstd-frames.test.ts",
				title: "as many frames as the bytes need are inflated, and one more refuses the whole before any is inflated",
			},
			{
				file: "miniflare-tests/peer.test.ts",
				title: "a carrier that inflates beyond what it names drops the link before it is inflated",
			},
		),
	},
	{
		...{ ...PROVED, number: ATTACKS_FROM + 17, where: "all decoders", planted: "depth_unbounded" },
		fault: "hostile CBOR",
		done: "depth, size and item count at and above their limits; 256 KiB of hostile bytes in linear time; malformed frames refused by name",
		run: provedBy(
			{
				file: "core/codec/codec.test.ts",
				title: "depth, size and item count are refused above their limit and taken at it",
			},
			{ file: "core/codec/codec.test.ts", title: "a hostile object of 256 KiB is refused in linear time" },
			{ file: EVIDENCE_PATH, title: "malformed and unknown frames are refused by name and the link goes on" },
		),
	},
	{
		...{ number: ATTACKS_FROM + 18, where: PROVED.where, isInCi: false, planted: "frame_unbounded" },
		fault: "batch or frame beyond its limit; refusals without end; more links than are remembered",
		done: "row 32 of every CI run sends too large a frame; flows the rest, slow-loris among them; not done: ten thousand sockets beside others' p99",
		run: async (context) => {
			const rest = await provedBy(
				{ file: EVIDENCE_PATH, title: "sixteen refusals in a row close the link" },
				{
					file: "miniflare-tests/slow-senders.test.ts",
					title:
						"hundreds that say a byte a second hold nobody else up, and what came through TLS is closed in its time",
				},
				{
					file: "workers/edge/link-gate.test.ts",
					title: "as many nonces are remembered as the limit, no more are let through, and old ones make room",
				},
			)(context);
			const { report, violations } = await poison(context);
			return { report, violations: [...rest.violations, ...violations] };
		},
	},
	{
		...{ ...PROVED, number: ATTACKS_FROM + 19, planted: "object_before_proof" },
		fault: "unknown agent ids to make objects",
		done: "no refused hello makes an object or a file",
		run: provedBy({
			file: "miniflare-tests/hello.test.ts",
			title: "every refused hello has a name, and no refusal makes an object",
		}),
	},
];
