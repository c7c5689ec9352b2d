/** What only some kinds of events have, in the side panel: sockets, names, hashes, ids, and what is missing with its reason. */
import { For, Show } from "solid-js";
import type { EventDetails, EventRow } from "../../../workers/sc/api/answers.ts";
import { Foreign } from "../widgets/foreign.tsx";
import { Chip } from "../widgets/states.tsx";
import { MARK_LABEL } from "./event-text.ts";

/** In the order a reader asks: where it ran, what it talked to, what it touched. */
const FACTS: readonly (readonly [keyof EventDetails, string])[] = [
	["interpreter", "Interpreter"],
	["cwd", "Directory"],
	["unit", "Unit"],
	["container", "Container"],
	["cgroup", "Cgroup"],
	["tty", "Terminal"],
	["sid", "Session"],
	["gid", "Group id"],
	["nsPid", "Pid in its namespace"],
	["tid", "Thread"],
	["dnsName", "Name asked"],
	["bytesSent", "Bytes sent"],
	["bytesReceived", "Bytes received"],
	["oldUid", "User id before"],
	["oldEuid", "Effective user before"],
	["oldGid", "Group id before"],
	["call", "System call"],
	["request", "Request"],
	["targetPid", "Target pid"],
	["mode", "Mode"],
	["fileBytes", "File size"],
	["inode", "Inode"],
	["sha256", "SHA-256"],
	["blake3", "BLAKE3"],
	["address", "Address"],
	["permissions", "Permissions"],
	["contentBytes", "Bytes kept"],
	["fidelityLevel", "Level"],
];

const LISTS: readonly (readonly ["dnsAnswers" | "environment" | "absent", string])[] = [
	["dnsAnswers", "Answers"],
	["environment", "Environment"],
	["absent", "Not known"],
];

function factText(name: keyof EventDetails, details: EventDetails): string | null {
	const value = details[name];
	if (value === undefined || value === "") return null;
	if (name === "mode") return (value as number).toString(8);
	return name === "address" ? `0x${value}` : String(value);
}

export function EventMarks(props: { event: EventRow }) {
	return (
		<Show when={props.event.details?.marks}>
			{(marks) => (
				<p data-testid="event-marks">
					<For each={marks()}>{(mark) => <Chip tone="plain">{MARK_LABEL[mark]}</Chip>}</For>
				</p>
			)}
		</Show>
	);
}

/** Rows of a `dl` of facts. */
export function DetailFacts(props: { details: EventDetails }) {
	return (
		<>
			<For each={FACTS}>
				{([name, label]) => (
					<Show when={factText(name, props.details)}>
						{(text) => (
							<>
								<dt>{label}</dt>
								<dd>
									<span class="mono wrap">
										<Foreign text={text()} isWhole />
									</span>
								</dd>
							</>
						)}
					</Show>
				)}
			</For>
			<For each={LISTS}>
				{([name, label]) => (
					<Show when={props.details[name]?.length}>
						<dt>{label}</dt>
						<dd>
							<For each={props.details[name]}>
								{(text) => (
									<div class="mono wrap">
										<Foreign text={text} isWhole />
									</div>
								)}
							</For>
						</dd>
					</Show>
				)}
			</For>
		</>
	);
}
