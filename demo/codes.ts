/**
 * Why the demo's hosts could not be built or the intrusion could not go on. These are facts about the machine for a
 * person to act on, never about the product: nothing of the product is involved in building the hosts.
 */

/**
 * Closed set of refusals; the detail names the missing tool, the refused call or the failing service's last log line.
 */
export type DemoCode =
	/** The process does not run as root, so it can make neither namespaces nor cgroups. */
	| "not_root"
	/** A program the hosts are made of is not installed; the detail names it. */
	| "tool_missing"
	/** No cgroup v2 hierarchy is mounted, or it cannot be written. */
	| "cgroup2_missing"
	/** The kernel or the container refused a namespace, a mount or a network device. */
	| "namespace_refused"
	/** Apache or sshd did not start; the detail is the last line of its log. */
	| "service_start_failed"
	/** The caller's abort signal fired while the hosts were being built. */
	| "cancelled"
	/** A command of the intruder failed or timed out, or a stage was called out of order. */
	| "intrusion_failed";
