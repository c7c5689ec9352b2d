/**
 * Exporting a forensic package in two steps: the Security Center gathers it and answers the manifest; the operator reads the
 * manifest, signs those bytes here, and the package is saved.
 */
import { createSignal, Show } from "solid-js";
import { bytesOfBase64, hexOf, textOf } from "#core/bytes/bytes.ts";
import { PAYLOAD_TYPES } from "#core/crypto/dsse.ts";
import { visibleText } from "#core/lineage/index.ts";
import { MODEL_LIMITS } from "#core/model/limits.ts";
import { type Failure, fail, ok, type Result } from "#core/result.ts";
import type { ExportAnswer } from "../../../workers/sc/api/answers.ts";
import { postForFile, postJson } from "../api/client.ts";
import { tracked } from "../api/idle.ts";
import { signBody } from "../signing/operator-keys.ts";
import { type ConsoleState, useConsole } from "../state/console.ts";
import { bytesText, clockText, countText } from "../state/time-text.ts";
import { Dialog } from "../widgets/dialog.tsx";
import { ProblemNote } from "../widgets/states.tsx";
import type { TraceModel } from "./trace-model.ts";

/** What the dialog shows of a manifest; the package holds all of it. */
const MANIFEST_SHOWN_MAX = 20_000;

interface Prepared {
	readonly answer: ExportAnswer;
	readonly manifest: Uint8Array;
	readonly text: string;
	readonly fileCount: number | null;
	/** As the manifest names them; null where it does not. */
	readonly hosts: readonly string[] | null;
	readonly gapCount: number | null;
}

interface ManifestParts {
	readonly subject?: unknown;
	readonly predicate?: { readonly hosts?: unknown; readonly gaps?: unknown };
}

function hostsOf(parsed: ManifestParts): string[] | null {
	const hosts = parsed.predicate?.hosts;
	return Array.isArray(hosts) ? hosts.map((host: { agent?: unknown } | null) => String(host?.agent ?? "?")) : null;
}

function readPrepared(answer: ExportAnswer): Result<Prepared, string> {
	const manifest = bytesOfBase64(answer.manifest);
	const text = manifest === null ? null : textOf(manifest);
	if (manifest === null || text === null) return fail("manifest_unreadable", "The manifest is not text in base64.");
	try {
		const parsed = JSON.parse(text) as ManifestParts;
		const fileCount = Array.isArray(parsed.subject) ? parsed.subject.length : null;
		const gaps = parsed.predicate?.gaps;
		const gapCount = Array.isArray(gaps) ? gaps.length : null;
		return ok({ answer, manifest, text, fileCount, hosts: hostsOf(parsed), gapCount });
	} catch {
		return fail("manifest_unreadable", "The manifest is not JSON.");
	}
}

async function signAndFetch(state: ConsoleState, prepared: Prepared): Promise<Result<Blob, string>> {
	const key = await state.signingKey();
	if (key === null) return fail("key_missing", "This browser does not hold your key. Sign in where you joined.");
	const signature = hexOf(await signBody(key, PAYLOAD_TYPES.packageManifest, prepared.manifest));
	return postForFile(`/api/exports/${encodeURIComponent(prepared.answer.exportId)}`, { signature });
}

/** A name that is safe on any disk, whatever was answered. */
function safeName(name: string, traceId: string): string {
	return /^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$/.test(name) ? name : `${traceId}.depkg`;
}

function save(blob: Blob, name: string): void {
	const url = URL.createObjectURL(blob);
	const link = document.createElement("a");
	link.href = url;
	link.download = name;
	link.click();
	// The browser has taken the blob over by the next task.
	setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Hosts whose end of the trace is not sealed yet: what comes after the export is not in the package. */
function unsealedHosts(model: TraceModel): string[] {
	return model.hosts().flatMap(({ agent, seal }) => (seal === null ? [agent] : []));
}

function UnsealedWarning(props: { model: TraceModel }) {
	const hosts = () => unsealedHosts(props.model);
	return (
		<Show when={hosts().length > 0}>
			<p class="note note-warn" data-testid="export-unsealed">
				{visibleText(hosts().join(" and "))} {hosts().length === 1 ? "is" : "are"} still traced: the package will say
				PASS WITH GAPS. Stop first for a complete one.
			</p>
		</Show>
	);
}

function Summary(props: { ready: Prepared; model: TraceModel }) {
	const unsealed = () => unsealedHosts(props.model);
	return (
		<dl class="facts" data-testid="export-summary">
			<dt>Hosts</dt>
			<dd class="mono">{visibleText(props.ready.hosts?.join(", ") ?? "not named")}</dd>
			<dt>Events</dt>
			<dd>{countText(props.model.trace.data()?.trace.eventCount ?? 0, "event")} stored of this trace</dd>
			<dt>Gaps</dt>
			<dd>
				{props.ready.gapCount === null ? "not named" : props.ready.gapCount === 0 ? "none" : props.ready.gapCount}
			</dd>
			<dt>Sealed</dt>
			<dd>{unsealed().length === 0 ? "on every host" : `not yet on ${visibleText(unsealed().join(", "))}`}</dd>
		</dl>
	);
}

export function ExportDialog(props: { model: TraceModel; onClose: () => void }) {
	const state = useConsole();
	const [reason, setReason] = createSignal("");
	const [prepared, setPrepared] = createSignal<Prepared | null>(null);
	const [failure, setFailure] = createSignal<Failure<string> | null>(null);
	const [isBusy, setBusy] = createSignal(false);
	const prepare = async () => {
		const answer = await postJson<ExportAnswer>(`/api/traces/${props.model.traceId}/export/prepare`, {
			reason: reason().trim(),
		});
		const read = answer.ok ? readPrepared(answer.value) : answer;
		if (read.ok) setPrepared(read.value);
		else setFailure(read);
	};
	const sign = async (ready: Prepared) => {
		const file = await signAndFetch(state, ready);
		if (!file.ok) return void setFailure(file);
		const name = safeName(ready.answer.fileName, props.model.traceId);
		save(file.value, name);
		state.announce(`Saved ${name}, ${bytesText(file.value.size)}.`, "good");
		props.onClose();
	};
	const submit = async (event: SubmitEvent) => {
		event.preventDefault();
		setBusy(true);
		setFailure(null);
		const ready = prepared();
		await tracked(ready === null ? prepare() : sign(ready));
		setBusy(false);
	};
	return (
		<Dialog title="Export a forensic package" onClose={props.onClose} testId="export-dialog" class="form-dialog">
			<form class="form" onSubmit={(event) => void submit(event)}>
				<UnsealedWarning model={props.model} />
				<Show
					when={prepared()}
					fallback={
						<>
							<p class="muted">
								The package holds the events as they were signed, proofs, custody and gaps, and a verifier. Anyone can
								check it without this system. The export is written into the ledger.
							</p>
							<label class="field">
								<span>Reason</span>
								<textarea
									required
									autofocus
									rows="2"
									maxlength={MODEL_LIMITS.sentenceLengthMax}
									value={reason()}
									onInput={(event) => setReason(event.currentTarget.value)}
									data-testid="export-reason"
								/>
							</label>
						</>
					}
				>
					{(ready) => (
						<>
							<p>
								<strong class="mono">{visibleText(ready().answer.fileName)}</strong> is ready
								{ready().fileCount === null ? "" : `: ${countText(ready().fileCount ?? 0, "file")}`}. You sign this
								manifest, {ready().manifest.length.toLocaleString("en")} bytes; the package waits until{" "}
								{clockText(ready().answer.expiresAtMs).slice(0, 8)}.
							</p>
							<Summary ready={ready()} model={props.model} />
							<details>
								<summary>The manifest, as it is signed</summary>
								<section class="note-text" tabindex="0" aria-label="Manifest" data-testid="export-manifest">
									<pre>
										{visibleText(ready().text, MANIFEST_SHOWN_MAX).replaceAll("\\n", "\n").replaceAll("\\t", "\t")}
									</pre>
								</section>
							</details>
						</>
					)}
				</Show>
				<Show when={failure()}>{(each) => <ProblemNote failure={each()} />}</Show>
				<div class="actions">
					<button type="button" class="button" onClick={() => props.onClose()}>
						Cancel
					</button>
					<Show
						when={prepared()}
						fallback={
							<button
								type="submit"
								class="button button-primary"
								disabled={isBusy() || reason().trim() === ""}
								data-testid="export-prepare"
							>
								{isBusy() ? "Gathering…" : "Prepare"}
							</button>
						}
					>
						<button type="submit" class="button button-primary" disabled={isBusy()} data-testid="export-sign">
							{isBusy() ? "Signing…" : "Sign & save"}
						</button>
					</Show>
				</div>
			</form>
		</Dialog>
	);
}
