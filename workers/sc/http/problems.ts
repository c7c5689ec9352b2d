/**
 * Refusals as RFC 9457 problems. One table says which status a code has; a code that is not in it is a 422, because the
 * request was understood and refused.
 */
import { problemResponse } from "../../edge/problem.ts";

const STATUS: Readonly<Record<string, number>> = {
	request_malformed: 400,
	session_missing: 401,
	session_expired: 401,
	signature_invalid: 401,
	challenge_invalid: 401,
	operator_unknown: 401,
	origin_refused: 403,
	role_missing: 403,
	approver_is_initiator: 403,
	invitation_unknown: 403,
	not_found: 404,
	command_unknown: 404,
	export_unknown: 404,
	trace_unknown: 404,
	method_not_allowed: 405,
	invitation_used: 409,
	invitations_closed: 409,
	key_taken: 409,
	command_not_waiting: 409,
	command_replayed: 409,
	body_too_large: 413,
	export_too_large: 413,
	too_many_listeners: 503,
	ledger_halted: 503,
	signer_unavailable: 503,
	store_unavailable: 503,
};

export function problem(refusal: { readonly code: string; readonly detail: string }): Response {
	return problemResponse({ status: STATUS[refusal.code] ?? 422, code: refusal.code, detail: refusal.detail });
}
