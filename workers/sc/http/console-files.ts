/**
 * The built console from the disk service. The service knows no media types and answers a folder with its listing, so both are
 * decided here: a path with a known extension is a file of that type, every other path is the console's own page and gets
 * index.html. Must never pass a path on that the disk service could read as something else.
 */

const MEDIA_TYPES: Readonly<Record<string, string>> = {
	css: "text/css; charset=utf-8",
	html: "text/html; charset=utf-8",
	ico: "image/x-icon",
	js: "text/javascript; charset=utf-8",
	json: "application/json",
	map: "application/json",
	mjs: "text/javascript; charset=utf-8",
	png: "image/png",
	svg: "image/svg+xml",
	txt: "text/plain; charset=utf-8",
	webmanifest: "application/manifest+json",
	woff2: "font/woff2",
};

/** Names the build gives out; no dot at the start of a segment, so nothing climbs. */
const FILE_PATH = /^(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+\.([a-z0-9]+)$/;
/** Vite puts a hash of the content into names below assets/. */
const IMMUTABLE = /^\/assets\//;

export async function consoleFile(
	disk: { fetch(request: Request): Promise<Response> },
	pathname: string,
): Promise<Response> {
	const extension = FILE_PATH.exec(pathname)?.[1];
	const mediaType = extension === undefined ? undefined : MEDIA_TYPES[extension];
	const path = mediaType === undefined ? "/index.html" : pathname;
	const file = await disk.fetch(new Request(`http://console.invalid${path}`));
	if (file.status !== 200) return new Response("There is no such file.", { status: 404 });
	return new Response(file.body, {
		headers: {
			"content-type": mediaType ?? "text/html; charset=utf-8",
			"cache-control": IMMUTABLE.test(path) ? "public, max-age=31536000, immutable" : "no-cache",
		},
	});
}
