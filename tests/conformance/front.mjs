// A gateway as small as can be: MCP over HTTP in front, the gRPC contract behind it. It decides nothing but what an
// edge must (Host and Origin), so that what the suite sees is what the contract carries.
//
//   node front.mjs RUNTIME_SOCK PROTO_FOLDER     prints "listening on PORT"

import http from 'node:http';
import path from 'node:path';

import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const [, , socket, protos] = process.argv;
const LOCAL = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;
const TIMEOUT_MS = 60_000;

const definition = loader.loadSync(path.join(protos, 'contextforge/mcp/runtime/v1/runtime.proto'), {
  keepCase: true,
  defaults: true,
});
const { McpRuntime } = grpc.loadPackageDefinition(definition).contextforge.mcp.runtime.v1;
const runtime = new McpRuntime(`unix:${socket}`, grpc.credentials.createInsecure());

const within = () => ({ deadline: Date.now() + TIMEOUT_MS });

function is_local(request) {
  const { host, origin } = request.headers;
  return LOCAL.test(host ?? '') && (origin === undefined || LOCAL.test(origin.replace(/^https?:\/\//, '')));
}

function fail(response, error) {
  if (response.headersSent) return response.destroy();
  response.writeHead(502, { 'content-type': 'text/plain' }).end(error.message);
}

// Invoke and CloseSession: one answer.
function once(method, message, response) {
  runtime[method](message, within(), (error, answer) => {
    if (error) return fail(response, error);
    response.writeHead(answer.status, answer.headers).end(answer.body);
  });
}

// InvokeStream: the first chunk has the head, and all of them the body, as it comes.
function stream(message, response) {
  const call = runtime.InvokeStream(message, message.method === 'GET' ? {} : within());
  response.on('close', () => call.cancel());
  call.on('data', (chunk) => {
    if (!response.headersSent) {
      response.writeHead(chunk.status || chunk.error_status, chunk.headers);
      response.flushHeaders();
    }
    if (chunk.data.length > 0) response.write(chunk.data);
    if (chunk.done) response.end();
  });
  call.on('error', (error) => fail(response, error));
  call.on('end', () => response.end());
}

const server = http.createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    if (!is_local(request)) return response.writeHead(403).end();
    const [where, query = ''] = request.url.split('?');
    const { connection, host, 'content-length': length, 'transfer-encoding': encoding, ...headers } = request.headers;
    const message = { method: request.method, path: where, query, headers, body: Buffer.concat(parts) };
    if (request.method === 'DELETE') return once('CloseSession', message, response);
    if (request.method === 'GET') return stream(message, response);
    const streams = (headers.accept ?? '').includes('text/event-stream');
    return streams ? stream(message, response) : once('Invoke', message, response);
  });
});
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));
