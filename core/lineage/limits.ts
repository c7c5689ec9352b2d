/** What a screen shows of foreign text at most, each with its reason. */
export const TEXT_LIMITS = {
	/** One cell of a row: longer text cannot be seen there, and laying it out costs every frame of a scroll. */
	cellLengthMax: 160,
	/** One field of a detail panel: a whole path of Linux fits. */
	detailLengthMax: 4096,
	/** Marks that may sit on one letter: more than any script needs is used to paint over the neighbouring lines. */
	combiningRunMax: 3,
} as const;
