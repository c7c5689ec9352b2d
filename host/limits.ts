/**
 * The limits of the host tier, each with its reason. A site that needs another value changes it here, in one place, and its test.
 */

const SECOND = 1_000;
const DAY = 86_400_000;

export const HOST_LIMITS = {
	/** A restarted child gets this long to answer its health check: a cold workerd with large bundles took 2 s on two busy cores. */
	startTimeoutMs: 30 * SECOND,
	/** How often a starting child is asked whether it is healthy. */
	healthIntervalMs: 50,
	/** One health question may take this long; a hung child must not hold the start for ever. */
	healthAnswerMs: 2 * SECOND,
	/** SIGTERM to SIGKILL: sqld checkpoints at the end. */
	stopGraceMs: 10 * SECOND,
	/**
	 * On SIGTERM workerd serves the links it has until it is killed: WebSockets never end by themselves. What it acknowledged is on disk
	 * already; twice the longest group commit (`fsync_interval_ms` is at most a second) lets it acknowledge what it holds.
	 */
	workerdStopGraceMs: 2 * SECOND,
	/** Connections that wait while a process is replaced; the kernel takes the less of this and its own `somaxconn`, 4096 by default. */
	listenBacklog: 4096,
	/** First wait before a crashed child is started again; doubles each time. */
	backoffFirstMs: 250,
	/** Longest wait between two starts: an outage that heals is noticed within it. */
	backoffMaxMs: 15 * SECOND,
	/** Backoff is spread by this share in both directions, so several children do not start in step. */
	backoffJitter: 0.2,
	/** A child that stayed up this long is well again: its failures no longer count. */
	backoffResetMs: 60 * SECOND,
	/** Failures in a row before the supervisor stops everything and says so: about two minutes of trying. */
	restartsMax: 12,
	/** One log file; together with its one predecessor this bounds the disk a chatty child can take. */
	logBytesMax: 8 * 1024 * 1024,
	/** Lines of a failed child's log that go into the error a person reads. */
	logTailLines: 12,
	/** A longer line in that error is cut: a child may write without line ends. */
	logTailLineCharactersMax: 500,
	/** Body of one request to the signer. A consistency proof has at most 64 hashes; a trust document is the largest. */
	signerBodyBytesMax: 512 * 1024,
	/** RFC 6962 consistency proofs over a 2^53 tree have at most 2 × 53 hashes. */
	consistencyHashesMax: 106,
	/** Invitations of one enclave creation: a genesis quorum is a handful of people. */
	invitationsMax: 64,
	/** Path of a Unix socket: `sun_path` has 108 bytes with its closing zero. */
	socketPathBytesMax: 107,
	/** Certificates start this far in the past, so that a peer whose clock is a little behind accepts them. */
	certificateBackdateMs: 5 * 60 * SECOND,
	rootLifetimeMs: 3653 * DAY,
	issuingCaLifetimeMs: 365 * DAY,
	/** Until renewal exists, a node certificate must outlive the interval in which a person re-issues it. */
	nodeLifetimeMs: 30 * DAY,
} as const;
