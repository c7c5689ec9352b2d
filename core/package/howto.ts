/**
 * verify/HOWTO.txt: what a stranger does with a package, by the verifier and by hand. Every command in it is run by a test. Must
 * never ask the reader to trust the root because the package holds it.
 */
export const HOWTO = String.raw`HOW TO VERIFY THIS PACKAGE

You need one thing from outside: the SHA-256 fingerprint of the enclave's root certificate, 64 hex digits. Ask the owner of the
enclave for it by a way you trust (a call, a printed label). Never take it from this package.

  node verify.mjs PACKAGE --root-fingerprint HEX        (one file, needs Node 20 or later, no network)
  daemoneye verify PACKAGE --root-fingerprint HEX

The verdict is PASS (exit 0), PASS WITH GAPS (exit 1: all that is here is genuine, and what is missing is named) or FAIL (exit 2:
the checks that failed are named). Add --json for a machine. Take verify.mjs from a DaemonEye release that you trust, not from
whoever gave you the package.

WITHOUT OUR TOOL (unzip, sha256sum, xxd and openssl 3; in a new folder into which the package is unpacked)

1. The root is the one you were told of:

  sha256sum pki/root.der

2. Each file is what the manifest says, and no file is there that it does not name (the two numbers are equal):

  sed '/^\t\],$/q' manifest.json | sed -n 's/^\t*"\(name\|sha256\)": "\(.*\)",*$/\2/p' | paste - - > ../names
  awk '{print $2 "  " $1}' ../names | sha256sum --quiet -c - && echo FILES OK
  wc -l < ../names; find . -type f ! -name 'manifest*.json' | wc -l

3. The exporter signed the manifest with the key that the newest trust document names (TRUST = the highest number in trust/):

  ID=$(sed -n 's/.*"keyid": "\(.*\)",*$/\1/p' manifest.dsse.json)
  KEY=$(xxd -p trust/TRUST.cbor | tr -d '\n' | grep -oP "$(printf %s "$ID" | xxd -p)02.*?035820\K[0-9a-f]{64}" | head -1)
  echo "302a300506032b6570032100$KEY" | xxd -r -p > ../exporter.der
  sed -n 's/.*"sig": "\(.*\)"$/\1/p' manifest.dsse.json | openssl base64 -d -A > ../signature
  (printf 'DSSEv1 28 application/vnd.in-toto+json %s ' "$(wc -c < manifest.json)"; cat manifest.json) > ../message
  openssl pkeyutl -verify -pubin -keyform DER -inkey ../exporter.der -rawin -in ../message -sigfile ../signature

What remains needs a program; the formats are plain:

4. pki/genesis.sig is the root key's signature over trust/0.cbor (ECDSA P-256, SHA-256, r and s as 64 bytes, over the DSSE
   encoding of the payload in it). Each later trust document is signed by the keys that the one before names.
5. events/HOST/STREAM/NUMBER.cbor are the batches as the host's agent signed them (Ed25519 over the DSSE encoding of the header;
   the header names the RFC 6962 Merkle root of the events and the hash of the batch before it). pki/nodes/HOST/*.cbor binds the
   agent's key to its certificate.
6. commands/*.cbor are the trace commands with the signatures of the operators who gave and approved them.
7. ledger/checkpoint is a C2SP checkpoint. Each *.tlog-proof shows that the *.leaf beside it is in that tree; the "extra" line is
   the salt: SHA-256(salt, header of the batch or the act's *.body) is the leaf's body hash.
8. view/events.ndjson is made from the batches for reading. It proves nothing by itself.

Batches that are missing within a stream, starts without an answer or an end, another number of events than a host sealed, hosts
that tell of the trace without a command, and gaps that a host declared and signed do not make the rest false: they are named, and
the verdict is PASS WITH GAPS. The export's leaf (ledger/acts/*.body) names how many batches and commands were exported, and of
each the hash over their sorted hashes: sha256sum events/*/*/*.cbor | cut -d" " -f1 | sort | sha256sum.
`;
