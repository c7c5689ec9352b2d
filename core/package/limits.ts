/** What a package and its archive may hold at most; every field with its reason. */

export interface ZipLimits {
	/**
	 * The whole archive. It is read and written in memory, by the browser too; ZIP without ZIP64 would end at 4
	 * GiB.
	 */
	readonly archiveBytesMax: number;
	/** Entries; 16 bits would hold 65,535, and a trace of a day in 5 s batches has 17,280. */
	readonly entriesMax: number;
	/** Characters of one name; leaves room for a folder of the reader's choice below Windows' 260. */
	readonly nameCharsMax: number;
}

export interface PackageLimits {
	/**
	 * Events in all batches, other traces' too. Exporter and verifier hold them decoded, about 1 kB each; an export ends at 128 MB
	 * of batches, some 500,000 trace events.
	 */
	readonly eventsMax: number;
}

export const PACKAGE_LIMITS: PackageLimits = { eventsMax: 1_000_000 };

export const ZIP_LIMITS: ZipLimits = {
	archiveBytesMax: 512 * 1024 * 1024,
	entriesMax: 20_000,
	nameCharsMax: 200,
};
