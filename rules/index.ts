/** The rule pack that ships. Order is the order of evaluation and says nothing else. */
import type { ServerRule } from "./rule.ts";
import { webServerSpawnsShell } from "./web-server-spawns-shell.ts";

export type { ServerRule } from "./rule.ts";

export const SERVER_RULES: readonly ServerRule[] = [webServerSpawnsShell];
