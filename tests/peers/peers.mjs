// Published servers behind Ringside, published clients in front of it: what each server answers must be the same
// directly and through the HTTP edge, to the byte of its JSON.
//
//   node peers.mjs BIN_FOLDER PYTHON PYTHON_CLIENT

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';

const [, , bin, python, python_client] = process.argv;
const require = createRequire(import.meta.url);
const modules = require.resolve.paths('x').find((each) => fs.existsSync(path.join(each, '@modelcontextprotocol')));
const program = (name, script = 'dist/index.js') => path.join(modules, '@modelcontextprotocol', name, script);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringside-peers-'));
const START_MS = 30_000;
const children = [];

function start(name, argv, environment, ready) {
  const child = spawn(argv[0], argv.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  children.push(child);
  let said = '';
  return new Promise((resolve, reject) => {
    const patience = setTimeout(() => reject(new Error(`${name} is not ready:\n${said}`)), START_MS);
    const hear = (bytes) => {
      said += bytes;
      fs.appendFileSync(path.join(folder, `${name}.log`), bytes);
      if (!ready.every((each) => each.test(said))) return;
      clearTimeout(patience);
      resolve({ child, found: ready[0].exec(said)[1] });
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('exit', (code) => reject(new Error(`${name} ended with ${code}:\n${said}`)));
  });
}

async function stop(child) {
  child.removeAllListeners('exit');
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.on('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}

// A client with everything that a server may ask of one. (Lists are shared between clients, so what a server shows only to
// a client with roots is shown to all.)
async function connect(transport) {
  const client = new Client(
    { name: 'peers', version: '1' },
    { capabilities: { sampling: {}, elicitation: { form: {} }, roots: {} } },
  );
  client.setRequestHandler(types.CreateMessageRequestSchema, ({ params }) => ({
    model: 'none',
    role: 'assistant',
    content: { type: 'text', text: `asked: ${JSON.stringify(params.messages.at(-1).content)}` },
  }));
  client.setRequestHandler(types.ListRootsRequestSchema, () => ({ roots: [{ uri: `file://${folder}/files` }] }));
  client.setRequestHandler(types.ElicitRequestSchema, () => ({ action: 'decline' }));
  await client.connect(transport);
  return client;
}

const call = (client, name, args = {}, options = undefined) =>
  client.callTool({ name, arguments: args }, undefined, options);
const failed = (promise) => promise.then(() => 'no error', (error) => ({ code: error.code }));

async function visit_everything(client) {
  const steps = [];
  const onprogress = (progress) => steps.push(progress);
  const resource = (await client.listResources()).resources[0].uri;
  return {
    tools: await client.listTools(),
    prompts: await client.listPrompts(),
    resources: await client.listResources(),
    templates: await client.listResourceTemplates(),
    echo: await call(client, 'echo', { message: 'ünï \u{1f600} "quoted" \\ \u2028' }),
    sum: await call(client, 'get-sum', { a: 9007199254740991, b: 0.1 }),
    image: await call(client, 'get-tiny-image'),
    structured: await call(client, 'get-structured-content', { location: 'New York' }),
    links: await call(client, 'get-resource-links', { count: 3 }),
    annotated: await call(client, 'get-annotated-message', { messageType: 'error', includeImage: true }),
    wrong: await call(client, 'get-sum', { a: 'one' }),
    read: await client.readResource({ uri: resource }),
    prompt: await client.getPrompt({ name: 'args-prompt', arguments: { city: 'Bern', state: 'BE' } }),
    complete: await client.complete({
      ref: { type: 'ref/prompt', name: 'completable-prompt' },
      argument: { name: 'department', value: 'E' },
    }),
    // The SDK's client drops the last step where the answer comes in the same read.
    progress: [await call(client, 'trigger-long-running-operation', { duration: 0.4, steps: 4 }, { onprogress }), steps.slice(0, 3)],
    sampling: await call(client, 'trigger-sampling-request', { prompt: 'hello', maxTokens: 10 }),
    elicitation: await call(client, 'trigger-elicitation-request'),
    level: await client.setLoggingLevel('warning'),
    nobody: await failed(client.getPrompt({ name: 'no-such-prompt' })),
  };
}

async function visit_filesystem(client) {
  const file = path.join(folder, 'files/a.txt');
  return {
    tools: await client.listTools(),
    allowed: await call(client, 'list_allowed_directories'),
    written: await call(client, 'write_file', { path: file, content: 'first\nsecond\n' }),
    read: await call(client, 'read_text_file', { path: file }),
    head: await call(client, 'read_text_file', { path: file, head: 1 }),
    listed: await call(client, 'list_directory', { path: path.dirname(file) }),
    refused: await call(client, 'read_text_file', { path: '/etc/hostname' }),
  };
}

async function visit_memory(client) {
  fs.rmSync(path.join(folder, 'memory.jsonl'), { force: true });
  const entities = [{ name: 'Ada', entityType: 'person', observations: ['writes programs'] }];
  return {
    tools: await client.listTools(),
    created: await call(client, 'create_entities', { entities }),
    graph: await call(client, 'read_graph'),
    found: await call(client, 'search_nodes', { query: 'programs' }),
  };
}

const stdio = (name, args = [], env = {}) => ({
  entry: { command: process.execPath, args: [program(name), ...args], env },
  direct: () =>
    new StdioClientTransport({
      command: process.execPath,
      args: [program(name), ...args],
      env: { ...process.env, ...env },
      stderr: 'ignore',
    }),
});

async function everything_over_http() {
  const port = String(30_000 + (process.pid % 20_000));
  const argv = [process.execPath, program('server-everything'), 'streamableHttp'];
  await start('everything', argv, { PORT: port }, [/listening on port (\d+)/]);
  const url = `http://127.0.0.1:${port}/mcp`;
  return { entry: { url }, direct: () => new StreamableHTTPClientTransport(new URL(url)) };
}

const servers = {
  'server-everything over stdio': { visit: visit_everything, peer: () => stdio('server-everything', ['stdio']) },
  'server-everything over HTTP': { visit: visit_everything, peer: everything_over_http },
  'server-filesystem': {
    visit: visit_filesystem,
    peer: () => stdio('server-filesystem', [path.join(folder, 'files')]),
  },
  'server-memory': {
    visit: visit_memory,
    peer: () => stdio('server-memory', [], { MEMORY_FILE_PATH: path.join(folder, 'memory.jsonl') }),
  },
};

async function ringside(name, entry) {
  const config = path.join(folder, `${name}.json`);
  fs.writeFileSync(config, JSON.stringify({ mcpServers: { [name]: entry } }));
  const argv = ['--config', config, '--runtime-dir', path.join(folder, `run-${name}`), '--http-listen', '127.0.0.1:0'];
  const ready = [/door=edge at=\S+:(\d+)/, /READY/];
  const { child, found } = await start(name, [path.join(bin, 'ringsided'), ...argv], {}, ready);
  return { child, url: `http://127.0.0.1:${found}/mcp` };
}

async function answers(client, visit) {
  try {
    return await visit(client);
  } finally {
    await client.close();
  }
}

async function same_answers(visit, entry, direct) {
  const { child, url } = await ringside('peer', entry);
  const expected = await answers(await connect(direct()), visit);
  const found = await answers(await connect(new StreamableHTTPClientTransport(new URL(url))), visit);
  await stop(child);
  // Ringside declares no more than its upstreams do, so what is asked of it can be asked of them.
  for (const key of Object.keys(expected)) assert.deepEqual(found[key], expected[key], key);
  return Object.keys(expected).length;
}

// Clients of others, against server-everything: each says what it saw, and ends with 0.
async function inspector(url) {
  const cli = [program('inspector', 'clients/launcher/build/index.js'), '--cli', url, '--transport', 'http'];
  const ask = async (...argv) => {
    const { stdout } = await promisify(execFile)(process.execPath, [...cli, ...argv], { timeout: START_MS });
    return JSON.parse(stdout);
  };
  const { tools } = await ask('--method', 'tools/list');
  assert(tools.some((tool) => tool.name === 'echo'));
  const echo = await ask('--method', 'tools/call', '--tool-name', 'echo', '--tool-arg', 'message=hello');
  assert.equal(echo.content[0].text, 'Echo: hello');
  const { prompts } = await ask('--method', 'prompts/list');
  assert(prompts.some((prompt) => prompt.name === 'simple-prompt'));
}

async function python_sdk(url) {
  const { stdout } = await promisify(execFile)(python, [python_client, url], { timeout: START_MS });
  assert.match(stdout, /all is well/);
}

// A client whose connection breaks in the middle of a stream, and who comes back with the last event that it has.
async function resumption(url) {
  const request = {
    method: 'tools/call',
    params: { name: 'trigger-long-running-operation', arguments: { duration: 2, steps: 8 } },
  };
  const first = new StreamableHTTPClientTransport(new URL(url));
  const client = await connect(first);
  let token;
  const halfway = new Promise((resolve) => {
    const onprogress = ({ progress }) => progress >= 3 && resolve();
    const onresumptiontoken = (next) => (token = next);
    client.request(request, types.CallToolResultSchema, { onprogress, onresumptiontoken }).catch(() => {});
  });
  await halfway;
  const { sessionId } = first;
  await first.close();
  assert(token, 'events have ids');

  const again = new StreamableHTTPClientTransport(new URL(url), { sessionId });
  const returned = await connect(again);
  const answer = await returned.request(request, types.CallToolResultSchema, { resumptionToken: token });
  assert.match(answer.content[0].text, /completed/);
  await again.terminateSession();
  await returned.close();
}

async function main() {
  fs.mkdirSync(path.join(folder, 'files'));
  const wanted = process.env.RINGSIDE_PEERS?.split(',');
  let failures = 0;
  const report = async (name, work) => {
    if (wanted && !wanted.includes(name)) return;
    const began = Date.now();
    const error = await work().then(() => null, (caught) => caught);
    if (error) ++failures;
    console.log(`${error ? 'FAILED' : 'passed'}: ${name} (${Date.now() - began} ms)${error ? `\n${error.stack}` : ''}`);
  };
  for (const [name, { visit, peer }] of Object.entries(servers)) {
    await report(name, async () => {
      const { entry, direct } = await peer();
      await same_answers(visit, entry, direct);
    });
  }
  const { entry } = stdio('server-everything', ['stdio']);
  const { url } = await ringside('everything', entry);
  await report('TypeScript SDK, coming back', () => resumption(url));
  await report('inspector --cli', () => inspector(url));
  await report('Python SDK', () => python_sdk(url));
  return failures;
}

const failures = await main().catch((error) => (console.log(error.stack), 1));
for (const child of children.reverse()) await stop(child);
if (failures === 0) fs.rmSync(folder, { recursive: true });
else console.log(`logs: ${folder}`);
process.exit(failures === 0 ? 0 : 1);
