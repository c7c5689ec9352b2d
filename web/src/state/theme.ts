/** Light, dark or what the system says. Kept in this browser only. */
const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];
const STORED_AS = "daemoneye.theme";
const themeChanges = new Set<() => void>();

function storedTheme(): Theme {
	return THEMES.find((theme) => theme === localStorage.getItem(STORED_AS)) ?? "system";
}

function applyTheme(theme: Theme): void {
	if (theme === "system") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = theme;
	for (const listener of themeChanges) listener();
}

/** Applies the stored theme and watches the system's. Call once. */
export function startTheme(): void {
	applyTheme(storedTheme());
	for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"])
		matchMedia(query).addEventListener("change", () => applyTheme(storedTheme()));
}

export function switchTheme(): Theme {
	const next = THEMES[(THEMES.indexOf(storedTheme()) + 1) % THEMES.length] as Theme;
	localStorage.setItem(STORED_AS, next);
	applyTheme(next);
	return next;
}

/** For what is painted and not styled. Returns the way to stop. */
export function onThemeChange(listener: () => void): () => void {
	themeChanges.add(listener);
	return () => themeChanges.delete(listener);
}
