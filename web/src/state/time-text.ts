/** Times, sizes and counts as text. Times always in UTC and of one width per form, so that columns compare by eye. Pure. */

function parts(ms: number): { date: string; clock: string } | null {
	const time = new Date(ms);
	if (Number.isNaN(time.getTime())) return null;
	const [date = "", clock = ""] = time.toISOString().split("T");
	return { date, clock: clock.slice(0, -1) };
}

/** `2026-11-22 13:07:55.123 UTC` */
export function utcText(ms: number): string {
	const time = parts(ms);
	return time ? `${time.date} ${time.clock} UTC` : "no time";
}

/** For `datetime`: ISO 8601, or nothing where a host's clock said a time that no calendar has. Never throws. */
export function isoText(ms: number): string | undefined {
	const time = parts(ms);
	return time ? `${time.date}T${time.clock}Z` : undefined;
}

/** `13:07:55.123` */
export function clockText(ms: number): string {
	return parts(ms)?.clock ?? "no time";
}

/** `2026-11-22 13:07:55`, for lists that span days. */
export function dayClockText(ms: number): string {
	const time = parts(ms);
	return time ? `${time.date} ${time.clock.slice(0, 8)}` : "no time";
}

/** `640 ms`, `12.4 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`; the sign is kept. */
export function spanText(ms: number): string {
	if (!Number.isFinite(ms)) return "unknown";
	if (ms < 0) return `−${spanText(-ms)}`;
	if (ms < 1000) return `${Math.round(ms)} ms`;
	if (ms < 60_000) return `${Number((ms / 1000).toFixed(1))} s`;
	const steps: [number, string][] = [
		[86_400_000, "d"],
		[3_600_000, "h"],
		[60_000, "min"],
		[1000, "s"],
	];
	const from = steps.findIndex(([size]) => ms >= size);
	const [size, unit] = steps[from] as [number, string];
	const [smallerSize, smallerUnit] = steps[Math.min(from + 1, 3)] as [number, string];
	const rest = Math.floor((ms % size) / smallerSize);
	return rest > 0 ? `${Math.floor(ms / size)} ${unit} ${rest} ${smallerUnit}` : `${Math.floor(ms / size)} ${unit}`;
}

/** Bytes in binary units: `12.4 MiB`. */
export function bytesText(bytes: number): string {
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let value = bytes;
	let unit = 0;
	while (value >= 1024 && unit < units.length - 1) {
		value /= 1024;
		unit++;
	}
	return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/**
 * Reads what an analyst types for a moment: `13:07`, `13:07:55.1`, with or without a date before it. Without a date it is the day
 * of `near`. null where it is no time.
 */
export function parseMoment(text: string, near: number): number | null {
	const match = /^(?:(\d{4}-\d{2}-\d{2})[ T])?(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?(?: ?(?:Z|UTC))?$/.exec(
		text.trim(),
	);
	if (match === null) return null;
	const [, date, hour, minute, second = "00", fraction = "0"] = match;
	const moment = Date.parse(`${date ?? parts(near)?.date}T${hour}:${minute}:${second}.${fraction.padEnd(3, "0")}Z`);
	return Number.isNaN(moment) ? null : moment;
}

/** `1 event`, `2,400 events`; the plural is given where an `s` does not make it. */
export function countText(count: number, one: string, many = `${one}s`): string {
	return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
