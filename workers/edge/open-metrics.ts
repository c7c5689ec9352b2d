/**
 * OpenMetrics 1.0.0 text, the one format of both tiers' metrics. Guarantees: every family has HELP, TYPE and UNIT, its name ends with
 * its unit, a counter's sample ends in `_total`, families are not interleaved, and the text ends with `# EOF`. Label values are
 * escaped; names are ours and a wrong one is a broken invariant. Must never be given a label whose values nobody bounds.
 */
import { assertInvariant } from "#core/result.ts";

export const OPEN_METRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8";

export interface Sample {
	readonly labels?: Readonly<Record<string, string>>;
	readonly value: number;
}

export interface Family {
	/** Without `_total`; ends with `_` and the unit. */
	readonly name: string;
	readonly type: "gauge" | "counter";
	readonly unit: string;
	/** One sentence for a person. */
	readonly help: string;
	readonly samples: readonly Sample[];
}

const NAME = /^daemoneye_[a-z0-9_]+$/;
const LABEL = /^[a-z][a-z0-9_]*$/;

function quoted(text: string): string {
	return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

function labelsText(labels: Readonly<Record<string, string>>): string {
	const pairs = Object.entries(labels).map(([name, value]) => {
		assertInvariant(LABEL.test(name), `${name} is no label name`);
		return `${name}="${quoted(value)}"`;
	});
	return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function familyText({ name, type, unit, help, samples }: Family): string {
	assertInvariant(NAME.test(name) && name.endsWith(`_${unit}`), `${name} is no name in ${unit}`);
	const suffix = type === "counter" ? "_total" : "";
	const lines = samples.map(({ labels = {}, value }) => {
		assertInvariant(Number.isFinite(value), `${name} is no number`);
		return `${name}${suffix}${labelsText(labels)} ${value}\n`;
	});
	return `# TYPE ${name} ${type}\n# UNIT ${name} ${unit}\n# HELP ${name} ${quoted(help)}\n${lines.join("")}`;
}

export function openMetricsText(families: readonly Family[]): string {
	assertInvariant(new Set(families.map(({ name }) => name)).size === families.length, "a family stands twice");
	return `${families.map(familyText).join("")}# EOF\n`;
}
