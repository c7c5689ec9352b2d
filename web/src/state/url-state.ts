/**
 * Where the console is and what it shows, as a URL hash that reproduces the view. Versioned: a link of an unknown version opens the
 * page with its default view and says so. Guarantees that only identifiers and times stand in a link: never an argument, a path or
 * what was typed into a find field. Whatever does not parse is dropped, never passed on.
 */
import { EVENT_KINDS, type EventKind } from "#core/model/event.ts";

export const VIEW_VERSION = 1;
/** Collapsed rows that a link carries; more would make it too long to paste anywhere. */
export const COLLAPSED_IN_LINK_MAX = 100;

export type Selection =
	| { readonly type: "event"; readonly row: number }
	/** `id` is `agent/process key`. */
	| { readonly type: "process"; readonly id: string }
	| { readonly type: "hop"; readonly id: string }
	| { readonly type: "host"; readonly agent: string };

export interface TimeWindow {
	readonly startMs: number;
	readonly endMs: number;
}

export interface ViewState {
	readonly selection: Selection | null;
	/** null: everything. */
	readonly window: TimeWindow | null;
	/** Empty: all kinds. */
	readonly kinds: readonly EventKind[];
	/** Row ids of core/lineage. */
	readonly collapsed: readonly string[];
	/** The moment T; null: the end. */
	readonly cursorMs: number | null;
}

export const DEFAULT_VIEW: ViewState = { selection: null, window: null, kinds: [], collapsed: [], cursorMs: null };

export type Route =
	| { readonly page: "hits"; readonly hitId: number | null }
	| { readonly page: "traces" }
	| { readonly page: "trace"; readonly traceId: string; readonly view: ViewState; readonly isUnknownVersion: boolean }
	| { readonly page: "fleet" }
	| { readonly page: "approvals" }
	| { readonly page: "join"; readonly token: string }
	/** An address that names no page; `traceId` where it looks like one that was mistyped. */
	| { readonly page: "unknown"; readonly traceId: string | null };

export const HOME: Route = { page: "hits", hitId: null };

const TRACE_ID = /^T-[0-9]{8}-[a-z0-9]{3,32}$/;
const AGENT = "[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?";
const PROCESS_ID = new RegExp(`^${AGENT}/[0-9a-f]{32}$`);
const HOST_ROW = new RegExp(`^host:${AGENT}$`);
const AGENT_ONLY = new RegExp(`^${AGENT}$`);
const HOP_ID = /^[\w.:~/-]{1,200}$/;
/** Short and of plain characters: a link must not be able to put a sentence of its own on the page. */
const TRACE_ID_LIKE = /^[\w.-]{1,48}$/;
const TOKEN = /^[\w.~-]{1,512}$/;

function parseWhole(text: string | null | undefined): number | null {
	if (!text || !/^\d{1,15}$/.test(text)) return null;
	return Number(text);
}

function parseSelection(text: string | null): Selection | null {
	const id = text?.slice(2) ?? "";
	switch (text?.slice(0, 2)) {
		case "e:": {
			const row = parseWhole(id);
			return row === null ? null : { type: "event", row };
		}
		case "p:":
			return PROCESS_ID.test(id) ? { type: "process", id } : null;
		case "c:":
			return HOP_ID.test(id) ? { type: "hop", id } : null;
		case "h:":
			return AGENT_ONLY.test(id) ? { type: "host", agent: id } : null;
		default:
			return null;
	}
}

function formatSelection(selection: Selection): string {
	switch (selection.type) {
		case "event":
			return `e:${selection.row}`;
		case "process":
			return `p:${selection.id}`;
		case "hop":
			return `c:${selection.id}`;
		case "host":
			return `h:${selection.agent}`;
	}
}

function parseView(query: URLSearchParams): ViewState {
	const startMs = parseWhole(query.get("from"));
	const endMs = parseWhole(query.get("to"));
	const kinds = (query.get("kinds") ?? "").split(",");
	const collapsed = (query.get("closed") ?? "").split(",").filter((id) => PROCESS_ID.test(id) || HOST_ROW.test(id));
	return {
		selection: parseSelection(query.get("sel")),
		window: startMs !== null && endMs !== null && endMs > startMs ? { startMs, endMs } : null,
		kinds: EVENT_KINDS.filter((kind) => kinds.includes(kind)),
		collapsed: [...new Set(collapsed)].slice(0, COLLAPSED_IN_LINK_MAX),
		cursorMs: parseWhole(query.get("t")),
	};
}

function formatView(view: ViewState): string {
	const query = new URLSearchParams();
	if (view.selection) query.set("sel", formatSelection(view.selection));
	if (view.window) {
		query.set("from", String(Math.floor(view.window.startMs)));
		query.set("to", String(Math.max(Math.floor(view.window.startMs) + 1, Math.ceil(view.window.endMs))));
	}
	if (view.cursorMs !== null) query.set("t", String(Math.round(view.cursorMs)));
	if (view.kinds.length > 0) query.set("kinds", view.kinds.join(","));
	if (view.collapsed.length > 0) query.set("closed", view.collapsed.slice(0, COLLAPSED_IN_LINK_MAX).join(","));
	if (query.size === 0) return "";
	return `?v=${VIEW_VERSION}&${query.toString().replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",")}`;
}

/** Reads `location.hash`, with or without `#`; nothing leads home, and what names no page is said to be unknown. */
export function parseHash(hash: string): Route {
	const [path = "", search = ""] = hash.replace(/^#/, "").split("?", 2);
	const [, page, id, ...rest] = path.split("/");
	const unknown: Route = { page: "unknown", traceId: null };
	if (rest.length > 0) return unknown;
	switch (page) {
		case "hits":
			return { page, hitId: parseWhole(id) };
		case "traces": {
			if (id === undefined || id === "") return { page };
			if (!TRACE_ID.test(id)) return { page: "unknown", traceId: TRACE_ID_LIKE.test(id) ? id : null };
			const query = new URLSearchParams(search);
			const version = query.get("v");
			const isUnknownVersion = version !== null && version !== String(VIEW_VERSION);
			return { page: "trace", traceId: id, view: isUnknownVersion ? DEFAULT_VIEW : parseView(query), isUnknownVersion };
		}
		case "fleet":
		case "approvals":
			return { page };
		case "join":
			return id !== undefined && TOKEN.test(id) ? { page, token: id } : HOME;
		case undefined:
		case "":
			return HOME;
		default:
			return unknown;
	}
}

/** The hash of a route, with `#`. A token is never written back. */
export function formatHash(route: Route): string {
	switch (route.page) {
		case "hits":
			return route.hitId === null ? "#/hits" : `#/hits/${route.hitId}`;
		case "trace":
			return `#/traces/${route.traceId}${formatView(route.view)}`;
		case "join":
			return "#/hits";
		default:
			return `#/${route.page}`;
	}
}
