/** The `?` sheet, made from the catalog. Commands that do nothing on this page are shown and said to be so. */
import { For, Show } from "solid-js";
import { Dialog } from "../widgets/dialog.tsx";
import { COMMANDS } from "./catalog.ts";
import { availableCommands } from "./dispatch.ts";
import { KeyNames } from "./palette.tsx";

export function KeySheet(props: { onClose: () => void }) {
	const here = new Set(availableCommands().map(({ id }) => id));
	const groups = [...new Set(COMMANDS.map(({ group }) => group))];
	return (
		<Dialog title="Keys" onClose={props.onClose} testId="key-sheet" class="key-sheet">
			<p class="muted">Keys are off while you type in a field. Grey commands do nothing on this page.</p>
			{/* The sheet scrolls on a small window, so it can be reached by keyboard. */}
			<section class="key-groups" aria-label="Commands by group" tabindex="0">
				<For each={groups}>
					{(group) => (
						<section>
							<h3>{group}</h3>
							<dl class="key-list">
								<For each={COMMANDS.filter((command) => command.group === group && command.keys.length > 0)}>
									{(command) => (
										<div classList={{ muted: !here.has(command.id) }}>
											<dt>
												<KeyNames keys={command.keys} />
											</dt>
											<dd>
												{command.title}
												<Show when={!here.has(command.id)}>
													<span class="visually-hidden"> (not on this page)</span>
												</Show>
											</dd>
										</div>
									)}
								</For>
							</dl>
						</section>
					)}
				</For>
			</section>
		</Dialog>
	);
}
