/**
 * What every agent of an enclave captures beyond processes and connections: part of the trust document, so it is signed by the
 * quorum and no captured proxy can widen or blind it. Guarantees that a policy within these bounds fits the kernel's tables.
 * Must never hold what is true of one host only.
 */
import { bool, field, list, record, type TypeOf, text, uint } from "#core/codec/index.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";

export const CAPTURE_POLICY_LIMITS = {
	/** Path prefixes that the kernel programs compare; their table is preallocated. */
	watchPathsMax: 256,
	credentialPathsMax: 64,
	/** A prefix longer than this cannot be a key of the kernel's table. */
	watchPathLengthMax: 128,
	/** A larger executable would keep the hashing thread busy for seconds; its event says why there is no hash. */
	hashBytesMax: 2 ** 32,
	newFileHashBytesMax: 16 * 1024 * 1024,
} as const;

const watchedPath = () => text(CAPTURE_POLICY_LIMITS.watchPathLengthMax, /^\/[^\0]*$/);

export const capturePolicyShape = record({
	/** Path prefixes, as the process sees paths: create, rename, link, unlink and opening for writing are told of every process. */
	watchPaths: field(1, list(watchedPath(), CAPTURE_POLICY_LIMITS.watchPathsMax)),
	/** Whole paths; `*` stands for one name between two slashes. Opening them for reading is told of every process. */
	credentialPaths: field(2, list(watchedPath(), CAPTURE_POLICY_LIMITS.credentialPathsMax)),
	/** Environment variables told with each exec, masked as command lines are. */
	environmentNames: field(3, list(text(64, /^[A-Za-z_][A-Za-z0-9_]*$/), MODEL_LIMITS.environmentNamesMax)),
	/** Executables up to this size are hashed; 0 = none. */
	hashBytesMax: field(4, uint(CAPTURE_POLICY_LIMITS.hashBytesMax)),
	/** New files of traced lineages up to this size are hashed; 0 = none. */
	newFileHashBytesMax: field(5, uint(CAPTURE_POLICY_LIMITS.newFileHashBytesMax)),
	/** Whether a trace may ask for the first bytes of executable mappings. */
	allowsMemoryHeaders: field(6, bool()),
});
export type CapturePolicy = TypeOf<typeof capturePolicyShape>;

/** In force where a trust document holds none: nothing is watched, executables are hashed. */
export const BARE_CAPTURE_POLICY: CapturePolicy = {
	watchPaths: [],
	credentialPaths: [],
	environmentNames: [],
	hashBytesMax: 256 * 1024 * 1024,
	newFileHashBytesMax: 0,
	allowsMemoryHeaders: false,
};

/** The policy that a trust document puts in force. */
export function policyOf(trust: { readonly capturePolicy?: CapturePolicy }): CapturePolicy {
	return trust.capturePolicy ?? BARE_CAPTURE_POLICY;
}

/** What `pki init` proposes: where persistence and credentials lie on Linux. */
export const PROPOSED_CAPTURE_POLICY: CapturePolicy = {
	...BARE_CAPTURE_POLICY,
	watchPaths: [
		"/etc/",
		"/root/.ssh/",
		"/root/.bash",
		"/root/.profile",
		"/usr/bin/",
		"/usr/sbin/",
		"/usr/lib/systemd/",
		"/usr/local/bin/",
		"/usr/local/sbin/",
		"/bin/",
		"/sbin/",
		"/boot/",
		"/lib/modules/",
		"/usr/lib/modules/",
		"/var/spool/cron/",
		"/var/spool/at/",
		"/var/www/",
		"/srv/www/",
		"/dev/shm/",
		"/run/systemd/",
	],
	credentialPaths: [
		"/etc/shadow",
		"/etc/gshadow",
		"/etc/sudoers",
		"/etc/krb5.keytab",
		"/root/.ssh/id_rsa",
		"/root/.ssh/id_ecdsa",
		"/root/.ssh/id_ed25519",
		"/home/*/.ssh/id_rsa",
		"/home/*/.ssh/id_ecdsa",
		"/home/*/.ssh/id_ed25519",
		"/root/.aws/credentials",
		"/home/*/.aws/credentials",
		"/root/.kube/config",
		"/home/*/.kube/config",
	],
	environmentNames: ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "SSH_CONNECTION", "SUDO_USER"],
};
