/** The console's entry: theme, keys, and the app. Everything else is reached from the app. */
import { render } from "solid-js/web";
import { assertInvariant } from "#core/result.ts";
import { idle } from "./api/idle.ts";
import { App } from "./app.tsx";
import { listenForKeys } from "./commands/dispatch.ts";
import { startTheme } from "./state/theme.ts";

const root = document.getElementById("console");
assertInvariant(root, "the page has no place for the console");
window.daemoneye = { idle };
startTheme();
listenForKeys();
render(() => <App />, root);
