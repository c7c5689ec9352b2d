/**
 * The console's build: one page, hashed assets beside it, nothing inline and nothing remote, so that it runs under
 * `default-src 'none'; script-src 'self'; style-src 'self'`. `vite build --config web/vite.config.ts` writes dist/web.
 */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import solid from "vite-plugin-solid";

const here = fileURLToPath(new URL(".", import.meta.url));

export default defineConfig({
	root: here,
	base: "./",
	publicDir: false,
	plugins: [solid()],
	build: {
		outDir: `${here}../dist/web`,
		emptyOutDir: true,
		// The first versions whose WebCrypto has Ed25519: an older browser could not sign in.
		target: ["chrome137", "edge137", "firefox130", "safari17"],
		// A data: URI would need an exception in the content security policy.
		assetsInlineLimit: 0,
		modulePreload: { polyfill: false },
		reportCompressedSize: true,
	},
});
