/** What the console's routes take and give at most, each with its reason. */
export const ROUTE_LIMITS = {
	/** The largest body is a command's envelope in base64; 16 signatures and 16 KB of payload make 24 KB. */
	bodyBytesMax: 64 * 1024,
	/** A body over the limit is read this far before the connection is dropped. */
	bodyBytesDrained: 1024 * 1024,
	hitsListed: 200,
	tracesListed: 200,
	alarmsListed: 200,
	/** So that one host's alarms cannot push everybody else's out of the list. */
	alarmsListedPerAgent: 40,
	quarantineListed: 200,
	/** Of one host and proxy. */
	quarantineListedPerTeller: 20,
	/** One page of a trace's events; a row is about 600 bytes of JSON. */
	eventsPage: 2000,
} as const;

export const STORE_LIMITS = {
	/** sqld takes 128 requests at once and refuses more; it writes one after the other, and each open one is a connection of its own. */
	writesAtOnce: 48,
	readsAtOnce: 48,
	/** The watch looks, writes alarms and answers who asks whether all is well. */
	watchAtOnce: 4,
	/** Objects whose writes share a transaction: with a few rows each it takes some tens of milliseconds. */
	groupItemsMax: 64,
	/** Of larger deliveries fewer go together: a trace that comes meanwhile waits for the transaction. */
	groupBytesMax: 512 * 1024,
	/** A group takes the store some tens of milliseconds; a store that takes longer has nobody waiting for company. */
	groupHoldMsMax: 5000,
	/** Longer than an answer may take: an object that was reset while it asked never says that it is done. */
	holdMsMax: 60_000,
	/** One delivery and one state of each agent of a Security Center's proxies. */
	waitingMax: 65_536,
	/** Refused items of one host that are remembered for each who told: what a channel keeps of its own link. */
	quarantinePerTellerMax: 256,
} as const;
