/** The package archive's public face. */
export { checkEntries, type EntryCode } from "./entries.ts";
export { ZIP_LIMITS, type ZipLimits } from "./limits.ts";
export { readZip, writeZip, type ZipCode } from "./zip.ts";
