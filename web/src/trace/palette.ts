/**
 * The colours of the style sheet as the canvas needs them: resolved for the present theme, system colours included. One place reads
 * them, so nothing painted can differ from what is styled.
 */
const TOKENS = {
	ground: "--ground",
	line: "--line",
	text: "--text",
	muted: "--muted",
	accent: "--accent",
	bad: "--bad",
	warn: "--warn",
	selected: "--selected",
	process: "--kind-process",
	network: "--kind-network",
	file: "--kind-file",
	record: "--kind-record",
	veil: "--veil",
} as const;

export type Palette = Record<keyof typeof TOKENS, string> & {
	readonly hosts: readonly string[];
	readonly font: string;
};

/** Resolves every token against an element of the page. */
export function readPalette(element: HTMLElement): Palette {
	const before = element.style.color;
	const resolve = (token: string): string => {
		element.style.color = `var(${token})`;
		return getComputedStyle(element).color;
	};
	const colours = Object.fromEntries(Object.entries(TOKENS).map(([name, token]) => [name, resolve(token)]));
	const hosts = [1, 2, 3, 4, 5, 6].map((number) => resolve(`--host-${number}`));
	element.style.color = before;
	return { ...(colours as Record<keyof typeof TOKENS, string>), hosts, font: getComputedStyle(element).fontFamily };
}
