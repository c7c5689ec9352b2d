import { deepEqual, equal } from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { before, beforeEach, mock, test } from "node:test";
import { base64Of } from "#core/bytes/bytes.ts";
import { bytesNamed } from "#core/testing/test-agent.ts";
import { type PinnedTrust, signTrustDocument, trustHash } from "#core/trust/trust-document.ts";
import { ed25519PublicKey } from "#crypto";
import { TrustChain } from "./trust-chain.ts";
import { TrustStore } from "./uplink-store.ts";

const seed = bytesNamed("genesis", 32);
const signer = { publicKey: ed25519PublicKey(seed), seed };

function documentAfter(last: PinnedTrust | null, traceDepthMax: number, by = signer): PinnedTrust {
	const document = {
		version: last === null ? 0 : last.document.version + 1,
		enclave: "lab",
		prevHash: last === null ? new Uint8Array(32) : trustHash(last.payload),
		mode: "solo" as const,
		operators: [],
		traceApprovals: 0,
		successorKeys: [signer.publicKey],
		successorThreshold: 1,
		ledgerOrigin: "sc.lab/ledger",
		ledgerKey: signer.publicKey,
		isMaskingRequired: true,
		traceDepthMax,
		traceDurationSecsMax: 60,
	};
	return signTrustDocument(document, last === null ? [] : [by]);
}

const genesis = documentAfter(null, 1);
const one = documentAfter(genesis, 2);
const two = documentAfter(one, 3);
const otherTwo = documentAfter(one, 4);
const stranger = { publicKey: ed25519PublicKey(bytesNamed("stranger", 32)), seed: bytesNamed("stranger", 32) };
const forged = documentAfter(genesis, 9, stranger);
const junk = Array.from({ length: 5 }, (_, index) => Uint8Array.of(index));

let sql: SqlStorage;
let chain: TrustChain;
let logged: string[];

const openChain = () => new TrustChain(new TrustStore(sql), base64Of(genesis.bytes));
const take = (...documents: Uint8Array[]) => {
	const taken = chain.take(documents);
	return taken.ok ? taken.value : taken.code;
};

before(() => {
	mock.method(console, "error", (line: string) => logged.push(line));
});
beforeEach(() => {
	const database = new DatabaseSync(":memory:");
	const exec = (query: string, ...bindings: never[]) => {
		const isSchema = query.includes("CREATE TABLE");
		if (isSchema) database.exec(query);
		const rows = isSchema ? [] : database.prepare(query).all(...bindings);
		return { toArray: () => rows };
	};
	sql = { exec } as never;
	logged = [];
	chain = openChain();
});

test("what follows from genesis is taken, kept over a start, and never shrinks", () => {
	equal(take(one.bytes), true);
	equal(take(one.bytes, two.bytes), true);
	for (const older of [[], [one.bytes], [one.bytes, two.bytes]]) equal(take(...older), false);
	deepEqual(openChain().documents(), [one.bytes, two.bytes]);
});

test("junk from a captured upstream is refused by name and does not stand in the way of the honest one", () => {
	equal(typeof take(...junk), "string");
	equal(take(forged.bytes), "trust_quorum_missing");
	equal(take(two.bytes), "trust_version_not_next");
	deepEqual(chain.documents(), []);
	equal(take(one.bytes, two.bytes), true);
	deepEqual(chain.documents(), [one.bytes, two.bytes]);
});

test("of a list that begins well and ends badly the good part is taken", () => {
	equal(take(one.bytes, ...junk), true);
	deepEqual(chain.documents(), [one.bytes]);
	equal(typeof take(one.bytes, ...junk), "string");
});

test("another chain from the same genesis does not displace the one held", () => {
	take(one.bytes, two.bytes);
	equal(take(one.bytes, otherTwo.bytes), "trust_forked");
	equal(take(one.bytes, otherTwo.bytes, documentAfter(otherTwo, 5).bytes), "trust_forked");
	deepEqual(chain.documents(), [one.bytes, two.bytes]);
});

test("what does not follow on disk is left out at the next start and replaced by what does", () => {
	new TrustStore(sql).replaceDocuments([one.bytes, ...junk]);
	chain = openChain();
	deepEqual(chain.documents(), [one.bytes]);
	equal(logged.filter((line) => line.includes("stored_trust_refused")).length, 1);
	equal(take(one.bytes, two.bytes), true);
	deepEqual(openChain().documents(), [one.bytes, two.bytes]);
});
