/**
 * What a test that loads kernel programs needs of the machine. Guarantees that a test is left out by name, and left out nowhere that
 * REQUIRE (a comma list) names the need: there it runs, and fails.
 */
import { existsSync } from "node:fs";

/** What is missing, as the reason to skip; false when the test can run or must. */
export function missingForKernel(): string | false {
	const required = (process.env.REQUIRE ?? "").split(",");
	if (process.getuid?.() !== 0 && !required.includes("root")) return "root is needed";
	if (!existsSync("/sys/kernel/btf/vmlinux") && !required.includes("btf")) return "a kernel with BTF is needed";
	return false;
}
