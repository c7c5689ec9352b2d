/** The stealth report as a person reads it, and its timings as figures. */
import type { BenchContext } from "../bench.ts";
import { median } from "../figure.ts";
import { LOOKERS } from "./look.ts";
import type { CallTimes, StealthReport } from "./stealth.ts";

const PERCENTILES = ["p50", "p90", "p99"] as const;

function callsOf(times: readonly CallTimes[]): string[] {
	return [...new Set(times.map(({ call }) => call))];
}

const valuesOf = (times: readonly CallTimes[], call: string, percentile: (typeof PERCENTILES)[number]): number[] =>
	times.filter((each) => each.call === call).map((each) => each[percentile]);

export function reportLines(report: StealthReport): string[] {
	const lines = [`${report.tracesRun} traces were started and looked at.`];
	for (const looker of LOOKERS) {
		const differences = report.differences[looker];
		lines.push(`${looker} saw ${report.itemsSeen[looker]} things; a trace changes ${differences.length} of them.`);
		for (const { section, sign, item } of differences) lines.push(`  ${sign} ${section}: ${item.slice(0, 200)}`);
	}
	for (const call of callsOf(report.untraced))
		for (const percentile of PERCENTILES) {
			const [without, during] = [report.untraced, report.traced].map((times) =>
				median(valuesOf(times, call, percentile)),
			);
			lines.push(`${call} ${percentile}: ${without} ns untraced, ${during} ns traced`);
		}
	for (const process of ["agentMs", "procmondMs"] as const) {
		const [without, during] = [report.cpuUntraced, report.cpuTraced].map((all) =>
			median(all.map((cpu) => cpu[process])),
		);
		lines.push(
			`CPU of ${process.slice(0, -2)} while the target made its calls: ${without} ms untraced, ${during} ms traced`,
		);
	}
	return lines;
}

export function reportTimings(report: StealthReport, context: BenchContext): void {
	for (const process of ["agentMs", "procmondMs"] as const)
		context.report({
			metric: `visible_cpu_of_${process.slice(0, -2)}_traced`,
			unit: "ms",
			goal: null,
			runs: report.cpuTraced.map((cpu) => cpu[process]),
			yardstick: { what: "the same calls, untraced", unit: "ms", runs: report.cpuUntraced.map((cpu) => cpu[process]) },
		});
	for (const call of callsOf(report.traced))
		for (const percentile of PERCENTILES)
			context.report({
				metric: `traced_${call}_${percentile}`,
				unit: "ns",
				goal: null,
				runs: valuesOf(report.traced, call, percentile),
				yardstick: {
					what: "the same process, untraced",
					unit: "ns",
					runs: valuesOf(report.untraced, call, percentile),
				},
			});
}
