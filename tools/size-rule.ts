/**
 * How long things may be: files and C functions (TypeScript functions are Biome's `noExcessiveLinesPerFunction`), and leftovers
 * that a reader should never meet. Generated files are exempt when their first line says so.
 */
export const SIZE_LIMITS = {
	/** Beyond this nobody holds a file in mind; the aim is 250. */
	fileLinesMax: 600,
	/** Tests list cases. */
	testLinesMax: 900,
	/** One screen. */
	functionLinesMax: 70,
} as const;

const LEFTOVER = /\b(TODO|FIXME|XXX|HACK)\b/;
const SKIPPED_TEST = /\b(it|test|describe)\.(skip|only|todo)\(/;

function checkCFunctions(file: string, lines: readonly string[]): string[] {
	const findings: string[] = [];
	let startedAt = -1;
	for (const [index, line] of lines.entries()) {
		if (line === "{" || /^[A-Za-z_].*\)\s*\{$/.test(line)) startedAt = index;
		if (line === "}" && startedAt >= 0) {
			const length = index - startedAt + 1;
			if (length > SIZE_LIMITS.functionLinesMax)
				findings.push(
					`${file}:${startedAt + 1}: a function of ${length} lines, at most ${SIZE_LIMITS.functionLinesMax}`,
				);
			startedAt = -1;
		}
	}
	return findings;
}

/** Findings of one file. */
export function checkSize(file: string, source: string): string[] {
	const lines = source.split("\n");
	if (lines[0]?.includes("generated")) return [];
	const max =
		/\.test\.tsx?$/.test(file) || /test.*\.c$/.test(file) ? SIZE_LIMITS.testLinesMax : SIZE_LIMITS.fileLinesMax;
	const findings = lines.length > max ? [`${file}: ${lines.length} lines, at most ${max}`] : [];
	if (/\.[ch]$/.test(file)) findings.push(...checkCFunctions(file, lines));
	for (const [index, line] of lines.entries()) {
		if (LEFTOVER.test(line) && !file.startsWith("tools/size-rule"))
			findings.push(`${file}:${index + 1}: a leftover marker`);
		if (SKIPPED_TEST.test(line)) findings.push(`${file}:${index + 1}: a test switched off or narrowed`);
	}
	return findings;
}
