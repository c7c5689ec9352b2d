/** Fuzz target of the DNS reader: any bytes are a message with bounded printable texts, or a named refusal. */
import { bytesOfHex } from "#core/bytes/bytes.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { assertInvariant } from "#core/result.ts";
import { decodeDnsMessage } from "./dns.ts";

export const name = "dns-message";

/** 255 bytes of which each may become four characters. */
const TEXT_LENGTH_MAX = 4 * 255;
const PRINTABLE = /^[!-~]+$/;

const CORPUS = [
	// A query for example.com, type A.
	"000701000001000000000000076578616d706c6503636f6d0000010001",
	// Its answer: CNAME edge.example.com, A 192.0.2.7, and an OPT record.
	"000781800001000200000001076578616d706c6503636f6d0000010001c00c000500010000000000070465646765c00cc00c000100010000000000" +
		"04c000020700002904d0000000000000",
	// An mDNS answer without a question.
	"000084000000000100000000046c616273056c6f63616c0000018001000000780004c0a80001",
	// A name that points at itself.
	"000701000001000000000000c00c00010001",
	// MX and SRV answers with names behind numbers.
	"0007818000010002000000000161016200000f0001c00c000f0001000000000009000a046d61696cc00c" +
		"c00c002100010000000000090001000201bb017300",
];

export function corpus(): Uint8Array[] {
	return CORPUS.map((hex) => {
		const bytes = bytesOfHex(hex);
		assertInvariant(bytes !== null, "the corpus is hex");
		return bytes;
	});
}

/** Never throws on any bytes unless the reader breaks its promise. */
export function run(bytes: Uint8Array): void {
	const decoded = decodeDnsMessage(bytes);
	if (!decoded.ok) return;
	const { name: question, answers, responseCode } = decoded.value;
	assertInvariant(answers.length <= MODEL_LIMITS.dnsAnswersMax, "more answers than an event holds");
	assertInvariant(responseCode === null || responseCode <= 4095, "a response code beyond its twelve bits");
	for (const text of [question, ...answers])
		assertInvariant(text.length <= TEXT_LENGTH_MAX && PRINTABLE.test(text), "a name that is not printable ASCII");
}
