import { writeFileSync } from "node:fs";
import { makeTestPackage, sealTestPackage, TRACE_ID } from "./enclave.ts";
import { processNamed } from "../../testing/test-agent.ts";
const made = await makeTestPackage({ batches: (told, web) => {
  const more = [];
  for (let b = 0; b < 1000; b++) more.push(web.batch("trace", Array.from({ length: 200 }, () => ({ kind: "exec", process: processNamed("shell"), traceId: TRACE_ID, payload: { pid: 10, name: "bash", exe: "/usr/bin/bash", cmdline: ["bash", "-c", "x".repeat(80)] } }) as never)));
  return [...told, ...more];
}});
const bytes = sealTestPackage(made.input);
writeFileSync(process.argv[2], bytes);
console.log(bytes.length, made.rootFingerprint);
