/** Bounds at the door of a worker, each with its reason. */
export const EDGE_LIMITS = {
	/** The hello header: two certificates, a binding and a status with 64 addresses in base64; the TLS front reads it whole. */
	helloHeaderCharactersMax: 32 * 1024,
	/** Used nonces remembered: beyond it no new link is taken until the oldest have aged out (30 s), so none is ever used twice. */
	usedNoncesMax: 50_000,
	/** A refusal's detail quotes what came; this much of it is enough for a person. */
	detailLengthMax: 300,
} as const;
