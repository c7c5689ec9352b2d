import { cpSync, rmSync } from "node:fs";
import { openBox } from "./box.ts";
import { addNode } from "../host/pki/enclave.ts";
import { makeLoadAgent } from "./load-agent.ts";
import { openStoreReader } from "./store-reader.ts";
import { setTimeout as sleep } from "node:timers/promises";
const context = { signal: new AbortController().signal, onStep: console.log, report: console.log };
for (let run = 0; run < 6; run++) {
	const b = await openBox(context); if (!b.ok) throw b;
	const n = await addNode(b.value.dataDir, { role: "agent", id: "load-01" }, Date.now()); if (!n.ok) throw n;
	const db = await openStoreReader(b.value.dataDir, context.signal); if (!db.ok) throw db;
	const load = makeLoadAgent(b.value, n.value);
	const t0 = await load.send();
	let last = 0, lastAt = t0, bad = false;
	for (;;) {
		const row = Number(db.value.prepare("SELECT coalesce(max(id),0) AS row FROM events").get()?.row);
		const now = performance.now();
		if (row !== last) { console.log(run, ((now - t0) / 1000).toFixed(1), row); last = row; lastAt = now; }
		if (row >= 100000) break;
		if (now - lastAt > 25000) { bad = true; break; }
		await sleep(50);
	}
	console.log("done", performance.now() - t0, load.trouble());
	rmSync("/tmp/bench-logs", { recursive: true, force: true });
	cpSync(b.value.dataDir + "/logs", "/tmp/bench-logs", { recursive: true });
	db.value.close(); load.stop(); await b.value.close();
	if (bad) break;
}
