/** What the verifier takes on at most, beside the limits of the archive and of each object in it. */
export const VERIFY_LIMITS = {
	/** Names, reasons and host names in the manifest; the wire's sentences have 500 characters. */
	claimLengthMax: 2000,
	/** How far the exporter's clock may be ahead of the reader's: both are set by hand in an enclave. */
	clockAheadMsMax: 24 * 3_600_000,
} as const;
