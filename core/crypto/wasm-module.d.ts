/** A WebAssembly module beside a worker's bundle: workerd compiles it when it starts. */
declare module "*.wasm" {
	const module: WebAssembly.Module;
	export default module;
}
