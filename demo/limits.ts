/**
 * How long each part of the demo's hosts may take before the demo gives up with a code instead of hanging. The values
 * are far above what an idle machine needs, because a continuous-integration runner may be ten times slower. All are
 * milliseconds.
 */

export const demoLimits = {
	/** From spawning a host to its private mounts being in place: a few mounts and a copy of some kilobytes. */
	hostReadyMaxMs: 10_000,
	/** From starting Apache or sshd to its port listening: Apache binds before it forks, sshd after. */
	serviceListenMaxMs: 10_000,
	/** One command of the intruder, the SSH login included. */
	commandMaxMs: 20_000,
	/**
	 * From killing every process of a demo to its cgroups being removable: the kernel reaps whole PID namespaces
	 * first.
	 */
	destroyMaxMs: 10_000,
	/** One call of a setup tool (`ip`, `ssh-keygen`). */
	toolMaxMs: 10_000,
	/** From the end of a host's output to the rest of its standard error: both pipes close with the same process. */
	lastWordsMaxMs: 1000,
	/** Pause between two looks at a state the kernel does not announce. */
	pollMs: 10,
	/**
	 * What a command of the intruder may print before the attacker program drops the shell: it holds the output in
	 * memory.
	 */
	outputBytesMax: 1_048_576,
} as const;
