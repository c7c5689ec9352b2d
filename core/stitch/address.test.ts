import { equal } from "node:assert/strict";
import { test } from "node:test";
import { bytesOfHex } from "#core/bytes/bytes.ts";
import { addressText, endpointText, isLoopback } from "./address.ts";

const v6 = (hex: string) => addressText(bytesOfHex(hex) as Uint8Array);

test("an IPv4 address and its mapped form in IPv6 have one spelling", () => {
	equal(addressText(Uint8Array.of(10, 0, 0, 2)), "10.0.0.2");
	equal(v6("00000000000000000000ffff0a000002"), "10.0.0.2");
});

test("IPv6 is shortened as RFC 5952 asks: the longest run, the first of equals, never a single group", () => {
	equal(v6("fd000000000000000000000000000002"), "fd00::2");
	equal(v6("00000000000000000000000000000001"), "::1");
	equal(v6("00000000000000000000000000000000"), "::");
	equal(v6("20010db8000000010001000100010001"), "2001:db8:0:1:1:1:1:1");
	equal(v6("20010db8000000000001000000000001"), "2001:db8::1:0:0:1");
	equal(v6("fd000000000000000000000000000000"), "fd00::");
});

test("bytes of another length are no address", () => {
	equal(addressText(new Uint8Array(5)), null);
	equal(addressText(new Uint8Array(0)), null);
});

test("an endpoint brackets IPv6 and loopback is known in both families", () => {
	equal(endpointText("fd00::2", 22), "[fd00::2]:22");
	equal(endpointText("10.0.0.2", 22), "10.0.0.2:22");
	equal([isLoopback("127.0.0.53"), isLoopback("::1"), isLoopback("10.0.0.1")].join(), "true,true,false");
});
