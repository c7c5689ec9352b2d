/** The verifier's public face. */
export {
	CHECK_NAMES,
	type Check,
	type CheckName,
	type Outcome,
	type PackageVerdict,
	type VerifyCode,
} from "./verdict.ts";
export { type ReaderTrust, verifyPackage } from "./verify-package.ts";
