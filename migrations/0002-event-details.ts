/**
 * What only some kinds of events have goes into one column as JSON: a column each would cost every insert. And a gap may say when
 * its loss began.
 */
export const eventDetails = {
	name: "0002-event-details",
	statements: ["ALTER TABLE events ADD COLUMN details TEXT", "ALTER TABLE gaps ADD COLUMN since_ms INTEGER"],
} as const;
