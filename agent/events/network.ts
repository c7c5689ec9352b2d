/** DNS events: the names a process asked for and was told, or why they could not be read. Addresses are fields of any frame. */
import { type CaptureFrame, tagBytes, tagNumber } from "../capture/frame.ts";
import { putAbsent } from "./absent.ts";
import { decodeDnsMessage } from "./dns.ts";
import { cutText } from "./draft.ts";
import type { Payload } from "./fields.ts";

/** A name of 255 bytes may be longer when its bytes are escaped. */
const NAME_LENGTH_MAX = 255;

export function putDns(frame: CaptureFrame, payload: Payload): void {
	if (tagNumber(frame, "DIRECTION") === 1) payload.isReceived = true;
	const bytes = tagBytes(frame, "DNS_MESSAGE");
	if (bytes === undefined) {
		putAbsent(payload, "dnsName", "not_captured");
		return;
	}
	const message = decodeDnsMessage(bytes);
	if (!message.ok) {
		putAbsent(payload, "dnsName", message.code);
		return;
	}
	const { name, type, responseCode, answers, answersCause } = message.value;
	payload.dnsName = cutText(name, NAME_LENGTH_MAX);
	payload.dnsType = type;
	if (name.length > NAME_LENGTH_MAX) putAbsent(payload, "dnsName", "cut");
	if (responseCode === null) return;
	payload.dnsResponseCode = responseCode;
	payload.dnsAnswers = answers.map((answer) => cutText(answer, NAME_LENGTH_MAX));
	if (answersCause !== null) putAbsent(payload, "dnsAnswers", answersCause);
	else if (answers.some((answer) => answer.length > NAME_LENGTH_MAX)) putAbsent(payload, "dnsAnswers", "cut");
}
