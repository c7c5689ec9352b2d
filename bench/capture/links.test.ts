import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { bytesBetween, parseLinks } from "./links.ts";

const SS = [
	'ESTAB 0 0 127.0.0.1:52456 127.0.0.1:7443 users:(("node",pid=815,fd=20)) cubic wscale:7,7 rto:204 bytes_sent:12352 bytes_retrans:7 bytes_acked:12345 bytes_received:999 segs_out:80',
	"ESTAB 0 0 127.0.0.1:7443 127.0.0.1:52456 cubic wscale:7,7 rto:204 bytes_sent:999 bytes_acked:999 bytes_received:12345",
	"ESTAB 0 0 [::1]:40000 [::1]:7443 cubic wscale:7,7 rto:204",
	"TIME-WAIT 0 0 127.0.0.1:52400 127.0.0.1:7443",
	"ESTAB 0 0 127.0.0.1:52460 127.0.0.1:17443 cubic bytes_sent:9 bytes_acked:5",
	"",
].join("\n");

test("what was sent to a port is counted, not what came from it, and not another port that ends alike", () => {
	deepEqual(parseLinks(SS, 7443), [
		{ local: "127.0.0.1:52456", bytesSent: 12_345 },
		{ local: "[::1]:40000", bytesSent: 0 },
	]);
	deepEqual(parseLinks("", 7443), []);
});

test("bytes between two looks are those of the same connection; a new one, or none, is an error", () => {
	const [first = { local: "", bytesSent: 0 }] = parseLinks(SS, 17443);
	const later = [{ ...first, bytesSent: 105 }];
	deepEqual(bytesBetween([first], later), { ok: true, value: 100 });
	equal(bytesBetween([first], [{ local: "127.0.0.1:1", bytesSent: 105 }]).ok, false);
	equal(bytesBetween([first], [...later, { local: "127.0.0.1:1", bytesSent: 1 }]).ok, false);
	equal(bytesBetween([], []).ok, false);
});
