/**
 * A modal dialog on the native element: the browser traps focus and handles Escape. Focus goes back to where it was, also when the
 * dialog is removed instead of closed. It stands at the end of the page, so no style of its opener reaches it.
 */
import { createUniqueId, type JSX, onCleanup, onMount, Show } from "solid-js";
import { Portal } from "solid-js/web";

export function Dialog(props: {
	title: string;
	onClose: () => void;
	children: JSX.Element;
	testId?: string;
	class?: string;
	/** The palette has no visible title bar. */
	isBare?: boolean;
}) {
	const titleId = createUniqueId();
	const before = document.activeElement;
	let dialog: HTMLDialogElement | undefined;
	onMount(() => dialog?.showModal());
	onCleanup(() => {
		dialog?.close();
		queueMicrotask(() => {
			if (before instanceof HTMLElement && before.isConnected) before.focus();
		});
	});
	return (
		<Portal>
			<dialog
				ref={(element) => {
					dialog = element;
				}}
				class={`dialog ${props.class ?? ""}`}
				aria-labelledby={titleId}
				data-testid={props.testId}
				onCancel={(event) => {
					event.preventDefault();
					props.onClose();
				}}
				onMouseDown={(event) => {
					if (event.target === event.currentTarget) props.onClose();
				}}
			>
				<div class="dialog-body">
					<h2 id={titleId} classList={{ "visually-hidden": props.isBare ?? false }}>
						{props.title}
					</h2>
					<Show when={!props.isBare}>
						<button type="button" class="icon-button dialog-close" aria-label="Close" onClick={() => props.onClose()}>
							×
						</button>
					</Show>
					{props.children}
				</div>
			</dialog>
		</Portal>
	);
}
