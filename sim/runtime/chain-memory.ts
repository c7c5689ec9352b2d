/**
 * Chain validation, remembered: the few chains of an enclave are validated by the real code once per process, because parsing
 * certificates costs more than everything else in a seed. Certificates here outlive every clock jump, so a verdict does not change;
 * what does change with time is not simulated.
 */

import type { Result } from "#core/result.ts";
import {
	type CertifiedNode,
	type ChainCode,
	type ChainContext,
	validateChain as validate,
} from "../../core/identity/chain.ts";

const verdicts = new Map<string, Promise<Result<CertifiedNode, ChainCode>>>();

export type { CertifiedNode, ChainCode, ChainContext };

export function validateChain(
	chain: readonly Uint8Array[],
	context: ChainContext,
): Promise<Result<CertifiedNode, ChainCode>> {
	const key = `${context.usage} ${chain.map((each) => Buffer.from(each).toString("base64")).join(" ")}`;
	let verdict = verdicts.get(key);
	if (verdict === undefined) {
		verdict = validate(chain, context);
		verdicts.set(key, verdict);
	}
	return verdict;
}
