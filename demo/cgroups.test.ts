/** Finding the cgroup v2 mount, and whom the leftovers never include; needs no root. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { findCgroup2Mount, findLeftovers } from "./cgroups.ts";

const hybrid = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
`;

test("the cgroup v2 mount of a hybrid machine is its unified directory", () => {
	assert.equal(findCgroup2Mount(hybrid), "/sys/fs/cgroup/unified");
});

test("a mount point with spaces and a backslash is unescaped", () => {
	const line = "41 31 0:38 / /mnt/a\\040b\\134c rw - cgroup2 cgroup2 rw\n";
	assert.equal(findCgroup2Mount(line), "/mnt/a b\\c");
});

test("a machine with cgroup v1 only has no mount, even when a path or a source is named cgroup2", () => {
	const lines = "40 31 0:37 / /cgroup2 rw - cgroup cgroup rw\n41 31 0:38 / /x rw - tmpfs cgroup2 rw\n";
	assert.equal(findCgroup2Mount(lines), undefined);
	assert.equal(findCgroup2Mount(""), undefined);
});

test("this process, which owns no demo, is never named among the leftovers", () => {
	assert.ok(findLeftovers().every((directory) => !directory.includes(`-${process.pid}-`)));
});
