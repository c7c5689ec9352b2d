/**
 * A strict reader of OpenMetrics 1.0.0, written from the specification's grammar and rules and sharing nothing with the writer. It
 * throws at the first line that the specification does not allow; beyond it, this project asks for TYPE, UNIT and HELP on each family.
 */

export interface ReadSample {
	readonly name: string;
	readonly labels: Readonly<Record<string, string>>;
	readonly value: number;
}
export interface ReadFamily {
	readonly name: string;
	type: string;
	unit: string;
	help: string;
	readonly samples: ReadSample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*/;
const NUMBER =
	/^(?:[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])$/;
const TYPES = ["counter", "gauge", "histogram", "gaugehistogram", "stateset", "info", "summary", "unknown"];
/** Suffixes that a family of the type may put behind its name. */
const SUFFIXES: Readonly<Record<string, readonly string[]>> = { counter: ["_total", "_created"], gauge: [""] };

function refuse(line: string, why: string): never {
	throw new Error(`${why}: ${JSON.stringify(line)}`);
}

/** `escaped-string` of the grammar, up to an unescaped quote or the end. */
function readEscaped(line: string, from: number, endsAtQuote: boolean): { text: string; next: number } {
	let text = "";
	for (let at = from; at < line.length; at++) {
		const char = line[at] as string;
		if (char === '"') {
			if (endsAtQuote) return { text, next: at + 1 };
			refuse(line, "an unescaped quote");
		}
		if (char !== "\\") {
			text += char;
			continue;
		}
		const code = line[++at] ?? refuse(line, "an escape without a character");
		const meant = { n: "\n", "\\": "\\", '"': '"' }[code];
		text += meant ?? refuse(line, "an escape that the grammar does not know");
	}
	return endsAtQuote ? refuse(line, "a label value without its end") : { text, next: line.length };
}

function readLabels(line: string, from: number): { labels: Record<string, string>; next: number } {
	const labels: Record<string, string> = {};
	let at = from;
	if (line[at] === "}") return { labels, next: at + 1 };
	for (;;) {
		const name = LABEL_NAME.exec(line.slice(at))?.[0] ?? refuse(line, "no label name");
		if (name in labels) refuse(line, "a label twice");
		at += name.length;
		if (line.slice(at, at + 2) !== '="') refuse(line, "no label value");
		const { text, next } = readEscaped(line, at + 2, true);
		labels[name] = text;
		at = next;
		if (line[at] === "}") return { labels, next: at + 1 };
		if (line[at] !== ",") refuse(line, "no comma between labels");
		at++;
	}
}

function readSample(line: string): ReadSample {
	const name = NAME.exec(line)?.[0] ?? refuse(line, "no metric name");
	let at = name.length;
	let labels: Record<string, string> = {};
	if (line[at] === "{") ({ labels, next: at } = readLabels(line, at + 1));
	if (line[at] !== " ") refuse(line, "no single space before the value");
	const rest = line.slice(at + 1).split(" ");
	const [value = "", timestamp] = rest;
	if (rest.length > 2 || !NUMBER.test(value)) refuse(line, "no number");
	if (timestamp !== undefined && !NUMBER.test(timestamp)) refuse(line, "no timestamp");
	return { name, labels, value: Number(value) };
}

function readDescriptor(line: string, families: ReadFamily[]): void {
	const match = /^# (TYPE|UNIT|HELP) (\S+) (.*)$/.exec(line) ?? refuse(line, "a comment that is no descriptor");
	const [, keyword, name = "", value = ""] = match;
	if (NAME.exec(name)?.[0] !== name) refuse(line, "no metric name");
	let family = families.at(-1);
	if (family?.name !== name) {
		if (families.some((each) => each.name === name)) refuse(line, "a family begins twice");
		family = { name, type: "", unit: "", help: "", samples: [] };
		families.push(family);
	}
	if (family.samples.length > 0) refuse(line, "a descriptor behind the samples");
	const field = (keyword as string).toLowerCase() as "type" | "unit" | "help";
	if (family[field] !== "") refuse(line, "a descriptor twice");
	if (field === "type" && !TYPES.includes(value)) refuse(line, "a type that does not exist");
	if (field === "unit" && !name.endsWith(`_${value}`)) refuse(line, "the name does not end with the unit");
	family[field] = field === "help" ? readEscaped(value, 0, false).text : value;
}

function takeSample(line: string, families: readonly ReadFamily[]): void {
	const sample = readSample(line);
	const family = families.at(-1) ?? refuse(line, "a sample before any family");
	const suffixes = SUFFIXES[family.type] ?? refuse(line, "a type whose samples this reader does not know");
	if (!suffixes.some((suffix) => sample.name === family.name + suffix)) refuse(line, "a sample of another family");
	if (family.type === "counter" && !(sample.value >= 0)) refuse(line, "a counter below zero");
	const key = (each: ReadSample) => JSON.stringify([each.name, Object.entries(each.labels).sort()]);
	if (family.samples.some((each) => key(each) === key(sample))) refuse(line, "the same series twice");
	family.samples.push(sample);
}

/** Reads a whole exposition or throws. */
export function readOpenMetrics(text: string): ReadFamily[] {
	const lines = text.split("\n");
	if (lines.pop() !== "") refuse(text.slice(-40), "the last line has no end");
	if (lines.pop() !== "# EOF") refuse(text.slice(-40), "no # EOF at the end");
	const families: ReadFamily[] = [];
	for (const line of lines) {
		if (line === "" || line.includes("\r")) refuse(line, "an empty line or a carriage return");
		if (line.startsWith("#")) readDescriptor(line, families);
		else takeSample(line, families);
	}
	for (const { name, type, unit, help } of families)
		if (type === "" || unit === "" || help === "") refuse(name, "a family without TYPE, UNIT or HELP");
	return families;
}

/** The value of one series; throws when it is not there. */
export function seriesValue(
	families: readonly ReadFamily[],
	name: string,
	labels: Readonly<Record<string, string>> = {},
): number {
	const wanted = JSON.stringify(Object.entries(labels).sort());
	for (const { samples } of families)
		for (const sample of samples)
			if (sample.name === name && JSON.stringify(Object.entries(sample.labels).sort()) === wanted) return sample.value;
	throw new Error(`there is no ${name}${JSON.stringify(labels)}`);
}
