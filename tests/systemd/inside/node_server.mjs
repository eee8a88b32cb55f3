// A stdio MCP server that needs what node needs: to compile while it runs, to write into HOME, to start a program.
// Its one tool, `look`, tells what it finds.
import { execFileSync } from "node:child_process";
import { readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";

function attempt(what) {
  try {
    return String(what()).trim();
  } catch (error) {
    return error.code ?? error.message;
  }
}

function look() {
  // Hot enough to be compiled to machine code, and WebAssembly is compiled at once.
  let sum = 0;
  for (let i = 0; i < 3e6; i++) sum = (sum * 31 + i) | 0;
  const empty = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));
  return {
    compiled: empty instanceof WebAssembly.Module && Number.isInteger(sum),
    variables: Object.keys(process.env).sort(),
    home: process.env.HOME,
    writes_home: attempt(() => writeFileSync(`${process.env.HOME}/.look`, "x") ?? "yes"),
    writes_etc: attempt(() => writeFileSync("/etc/look", "x") ?? "yes"),
    runs: attempt(() => execFileSync("/usr/bin/id", ["-un"])),
    sockets: readdirSync("/proc/self/fd")
      .map((fd) => attempt(() => readlinkSync(`/proc/self/fd/${fd}`)))
      .filter((file) => file.startsWith("socket:")),
  };
}

const answers = {
  initialize: (params) => ({
    protocolVersion: params.protocolVersion,
    capabilities: { tools: {} },
    serverInfo: { name: "node", version: "1" },
  }),
  "tools/list": () => ({ tools: [{ name: "look", description: "Looks around", inputSchema: { type: "object" } }] }),
  "tools/call": () => ({ content: [{ type: "text", text: JSON.stringify(look()) }] }),
};
for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) continue;
  const result = answers[method]?.(params) ?? {};
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, result }) + "\n");
}
