import "./hooks.ts";
const { simulate } = await import("./simulate.ts");
const seed = Number(process.argv[2] ?? 1);
const n = Number(process.argv[3] ?? 1);
const verbose = process.argv[4] === "-v";
const { planted } = await import("./hooks.ts");
for (let s = seed; s < seed + n; s++) {
	const t = performance.now();
	const v = await simulate({ seed: s, planted, ...(verbose ? { onLine: (l: string) => process.stdout.write(`${l}\n`) } : {}) });
	if (n < 20 || v.findings.length > 0 || v.settledMs === null) process.stdout.write(`${JSON.stringify({ ...v, ms: Math.round(performance.now() - t) })}\n`);
}
