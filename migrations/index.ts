/** Every migration in the order they are applied. Append-only. */
import { initial } from "./0000-initial.ts";
import { alarmTimes } from "./0001-alarm-times.ts";
import { eventDetails } from "./0002-event-details.ts";
import { nodeFidelity } from "./0003-node-fidelity.ts";
import { links } from "./0004-links.ts";
import { quarantine } from "./0005-quarantine.ts";

export interface Migration {
	readonly name: string;
	readonly statements: readonly string[];
}

export const MIGRATIONS: readonly Migration[] = [initial, alarmTimes, eventDetails, nodeFidelity, links, quarantine];
