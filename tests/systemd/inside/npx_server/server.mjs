#!/usr/bin/env node
// A package as npx runs them: installed into HOME first, then started through two more processes.
import { createInterface } from "node:readline";

const answers = {
  initialize: (params) => ({
    protocolVersion: params.protocolVersion,
    capabilities: { tools: {} },
    serverInfo: { name: "npx", version: "1" },
  }),
  "tools/list": () => ({ tools: [{ name: "glance", description: "Glances", inputSchema: { type: "object" } }] }),
  "tools/call": () => ({ content: [{ type: "text", text: "glanced" }] }),
};
for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) continue;
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, result: answers[method]?.(params) ?? {} }) + "\n");
}
