// Runs the protocol's conformance suite against our fixture server, directly, through Ringside's HTTP edge and through
// the gRPC contract, and holds the verdicts against each other. Fails when any check's verdict differs, when a scored
// check is not SUCCESS, or when the table is not the one in docs/conformance.md (--write replaces that).
//
//   node compare.mjs SOURCE_FOLDER BIN_FOLDER [--write] [--only direct,edge,grpc]

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const [, , source, bin, ...flags] = process.argv;
const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const suite = path.join(path.dirname(require.resolve('@modelcontextprotocol/conformance/package.json')));
const version = require('@modelcontextprotocol/conformance/package.json').version;
const REVISION = '2025-11-25';
const page = path.join(source, 'docs/conformance.md');
const only = flags.includes('--only') ? flags[flags.indexOf('--only') + 1].split(',') : ['direct', 'edge', 'grpc'];
const START_MS = 30_000;
const RANK = ['FAILURE', 'WARNING', 'SKIPPED', 'SUCCESS', 'INFO'];
// Checks that tell what was on the wire: no verdicts.
const NOTES = new Set(['outgoing-request', 'incoming-response', 'incoming-sse-event', 'stream-closed']);
// The only differences there may be, with the reason; one that is no more is a fault, too.
const POLLING =
  "the fixture closes its stream in the middle of the call; Ringside takes it up by itself, and its client gets the answer as JSON";
const KNOWN = {
  'server-sse-multiple-streams server-sse-streams-functional': {
    direct: 'SUCCESS',
    through: 'INFO',
    why: 'the SDK answers a list by a stream, Ringside in JSON, as it may; the check is about streams only',
  },
  'server-sse-polling server-sse-priming-event': { direct: 'SUCCESS', through: 'missing', why: POLLING },
  'server-sse-polling server-sse-retry-field': { direct: 'SUCCESS', through: 'missing', why: POLLING },
  'server-sse-polling server-sse-disconnect-resume': { direct: 'SUCCESS', through: 'missing', why: POLLING },
  'server-sse-polling server-sse-content-type': { direct: 'missing', through: 'INFO', why: POLLING },
};

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ringside-conformance-'));
const children = [];

// Starts a program; resolves with the first match of `ready` in what it says.
function start(name, argv, ready) {
  const child = spawn(argv[0], argv.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let said = '';
  return new Promise((resolve, reject) => {
    const patience = setTimeout(() => reject(new Error(`${name} is not ready:\n${said}`)), START_MS);
    const hear = (bytes) => {
      said += bytes;
      fs.appendFileSync(path.join(folder, `${name}.log`), bytes);
      const found = ready.every((each) => each.test(said)) ? ready[0].exec(said) : null;
      if (found) clearTimeout(patience), resolve(found[1]);
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('exit', (code) => reject(new Error(`${name} ended with ${code}:\n${said}`)));
  });
}

function run_suite(name, url) {
  const out = path.join(folder, name);
  const argv = [path.join(suite, 'dist/index.js'), 'server', '--url', url, '--requirements', REVISION, '-o', out];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'inherit'] });
  return new Promise((resolve) => child.on('exit', () => resolve(read_checks(out))));
}

// "scenario check" → the worst verdict of that check.
function read_checks(out) {
  const verdicts = new Map();
  for (const entry of fs.readdirSync(out).sort()) {
    const scenario = entry.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '');
    for (const check of JSON.parse(fs.readFileSync(path.join(out, entry, 'checks.json'), 'utf8'))) {
      if (NOTES.has(check.id)) continue;
      const key = `${scenario} ${check.id}`;
      const before = verdicts.get(key);
      const worse = before === undefined || RANK.indexOf(check.status) < RANK.indexOf(before.status);
      if (worse) verdicts.set(key, { status: check.status, why: check.errorMessage ?? '' });
    }
  }
  return verdicts;
}

function scored_scenarios() {
  const text = fs.readFileSync(path.join(suite, `requirements/${REVISION}.yaml`), 'utf8');
  const block = /^server:\n((?:(?: {2}- .*|\s*#.*|)\n)+)/m.exec(text)[1];
  return new Set([...block.matchAll(/^ {2}- (\S+)/gm)].map((match) => match[1]));
}

function table(runs, names) {
  const keys = [...new Set(names.flatMap((name) => [...runs[name].keys()]))];
  const lines = keys.map((key) => {
    const verdicts = names.map((name) => runs[name].get(key)?.status ?? 'missing');
    return `| ${[...key.split(' '), ...verdicts].join(' | ')} |`;
  });
  const head = ['scenario', 'check', ...names.map((name) => ({ direct: 'directly', edge: 'HTTP edge', grpc: 'gRPC' })[name])];
  const why = Object.entries(KNOWN).map(([key, known]) => `- \`${key.split(' ')[1]}\`: ${known.why}.`);
  return [`| ${head.join(' | ')} |`, `|${' --- |'.repeat(head.length)}`, ...lines, '', 'What differs, and why it may:', '', ...why].join('\n');
}

function faults_of(runs, names) {
  const scored = scored_scenarios();
  const faults = [];
  for (const key of new Set(names.flatMap((name) => [...runs[name].keys()]))) {
    const found = names.map((name) => runs[name].get(key) ?? { status: 'missing', why: '' });
    const known = KNOWN[key];
    const right = known
      ? found.every((each, i) => each.status === (names[i] === 'direct' ? known.direct : known.through))
      : new Set(found.map((each) => each.status)).size === 1 &&
        (found[0].status === 'SUCCESS' || !scored.has(key.split(' ')[0]));
    if (!right) faults.push(`${key}: ${names.map((name, i) => `${name} ${found[i].status} ${found[i].why}`).join('; ')}`);
  }
  for (const name of names) {
    const ran = new Set([...runs[name].keys()].map((key) => key.split(' ')[0]));
    for (const scenario of scored) if (!ran.has(scenario)) faults.push(`${scenario}: did not run (${name})`);
  }
  return faults;
}

// The page's prose is kept; the table between its marks is ours.
function with_table(text, made) {
  const marks = /(<!-- verdicts -->\n)[^]*?(<!-- end -->)/;
  if (!marks.test(text)) throw new Error('docs/conformance.md has no place for the table');
  return text.replace(marks, (_, before, after) => `${before}${made}\n${after}`);
}

async function main() {
  const fixture = `http://127.0.0.1:${await start('fixture', [process.execPath, path.join(here, 'fixture.mjs')], [/listening on (\d+)/])}/mcp`;
  const config = path.join(folder, 'ringside.json');
  fs.writeFileSync(config, JSON.stringify({ mcpServers: { fixture: { url: fixture } } }));
  const runtime = path.join(folder, 'run');
  const ringsided = [path.join(bin, 'ringsided'), '--config', config, '--runtime-dir', runtime];
  const listens = await start('ringsided', [...ringsided, '--http-listen', '127.0.0.1:0'], [/door=edge at=\S+:(\d+)/, /READY/]);
  const front = [process.execPath, path.join(here, 'front.mjs'), path.join(runtime, 'runtime.sock'), path.join(source, 'proto')];
  const gateway = await start('front', front, [/listening on (\d+)/]);
  const urls = { direct: fixture, edge: `http://127.0.0.1:${listens}/mcp`, grpc: `http://127.0.0.1:${gateway}/mcp` };
  const runs = {};
  for (const name of only) runs[name] = await run_suite(name, urls[name]);

  const made = table(runs, only);
  const faults = faults_of(runs, only);
  if (flags.includes('--write')) fs.writeFileSync(page, with_table(fs.readFileSync(page, 'utf8'), made));
  const known = fs.readFileSync(page, 'utf8');
  if (!known.includes(version)) faults.push(`docs/conformance.md does not speak of version ${version}`);
  if (only.length === 3 && with_table(known, made) !== known) {
    faults.push('docs/conformance.md has another table: run compare.mjs with --write, and look at what changed');
  }
  for (const fault of faults) console.log(fault);
  console.log(`${made.split('\n').filter((line) => line.startsWith('| ')).length - 1} checks, ${faults.length} faults (${only.join(', ')})`);
  return faults.length === 0 ? 0 : 1;
}

async function end() {
  for (const child of children.reverse()) {
    child.removeAllListeners('exit');
    if (child.exitCode !== null) continue;
    const gone = new Promise((resolve) => child.on('exit', resolve));
    child.kill('SIGTERM');
    await gone;
  }
}

const code = await main().catch((error) => (console.log(error.message), 1));
await end();
if (code === 0) fs.rmSync(folder, { recursive: true });
else console.log(`logs and verdicts: ${folder}`);
process.exit(code);
