// The MCP server that the conformance suite is pointed at, directly and through Ringside: what the suite's scenarios
// ask for, on the published SDK's low-level Server, so that schemas and contents go out exactly as they stand here.
//
//   node fixture.mjs        prints "listening on PORT" once it serves http://127.0.0.1:PORT/mcp

import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';
const BETWEEN_NOTES_MS = 50;
const RETRY_MS = 500;

const text = (words) => ({ type: 'text', text: words });
const image = { type: 'image', data: PNG, mimeType: 'image/png' };
const embedded = (uri, mimeType, words) => ({ type: 'resource', resource: { uri, mimeType, text: words } });
const asked = (properties, required = []) => ({ type: 'object', properties, required });
const nothing = asked({});

// Each tool: what tools/list shows, and what it does with (arguments, extra).
const tools = {
  test_simple_text: {
    description: 'Answers with a text',
    inputSchema: nothing,
    run: () => ({ content: [text('This is a simple text response for testing.')] }),
  },
  test_image_content: {
    description: 'Answers with an image',
    inputSchema: nothing,
    run: () => ({ content: [image] }),
  },
  test_audio_content: {
    description: 'Answers with a sound',
    inputSchema: nothing,
    run: () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] }),
  },
  test_embedded_resource: {
    description: 'Answers with a resource',
    inputSchema: nothing,
    run: () => ({
      content: [embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')],
    }),
  },
  test_multiple_content_types: {
    description: 'Answers with a text, an image and a resource',
    inputSchema: nothing,
    run: () => ({
      content: [
        text('Multiple content types test:'),
        image,
        embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
      ],
    }),
  },
  test_tool_with_logging: {
    description: 'Says what it does while it does it',
    inputSchema: nothing,
    async run(_, extra) {
      for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
        await extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data } });
        await pause(BETWEEN_NOTES_MS);
      }
      return { content: [text('Tool with logging executed successfully')] };
    },
  },
  test_tool_with_progress: {
    description: 'Says how far it is',
    inputSchema: nothing,
    async run(_, extra) {
      const progressToken = extra._meta?.progressToken;
      for (const progress of [0, 50, 100]) {
        if (progressToken !== undefined) {
          await extra.sendNotification({
            method: 'notifications/progress',
            params: { progressToken, progress, total: 100, message: `Completed step ${progress} of 100` },
          });
        }
        await pause(BETWEEN_NOTES_MS);
      }
      return { content: [text(String(progressToken))] };
    },
  },
  test_error_handling: {
    description: 'Fails',
    inputSchema: nothing,
    run: () => ({ content: [text('This tool intentionally returns an error for testing')], isError: true }),
  },
  test_sampling: {
    description: "Asks the client's model",
    inputSchema: asked({ prompt: { type: 'string' } }, ['prompt']),
    async run({ prompt }, extra) {
      const params = { messages: [{ role: 'user', content: text(prompt) }], maxTokens: 100 };
      const answer = await extra.sendRequest(
        { method: 'sampling/createMessage', params },
        types.CreateMessageResultSchema,
      );
      return { content: [text(`LLM response: ${answer.content.text ?? 'No response'}`)] };
    },
  },
  test_elicitation: {
    description: 'Asks the user',
    inputSchema: asked({ message: { type: 'string' } }, ['message']),
    async run({ message }, extra) {
      const schema = asked(
        {
          username: { type: 'string', description: "User's response" },
          email: { type: 'string', description: "User's email address" },
        },
        ['username', 'email'],
      );
      const { action, content } = await elicit(extra, message, schema);
      return { content: [text(`User response: action=${action}, content=${JSON.stringify(content ?? {})}`)] };
    },
  },
  test_elicitation_sep1034_defaults: {
    description: 'Asks the user, with an answer to start from for each kind of field',
    inputSchema: nothing,
    run: (_, extra) =>
      completed(
        extra,
        asked({
          name: { type: 'string', description: 'User name', default: 'John Doe' },
          age: { type: 'integer', description: 'User age', default: 30 },
          score: { type: 'number', description: 'User score', default: 95.5 },
          status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
          verified: { type: 'boolean', description: 'Verification status', default: true },
        }),
      ),
  },
  test_elicitation_sep1330_enums: {
    description: 'Asks the user to choose, in each form that a choice can have',
    inputSchema: nothing,
    run(_, extra) {
      const plain = ['option1', 'option2', 'option3'];
      const titled = [1, 2, 3].map((n) => ({ const: `value${n}`, title: `Title ${n}` }));
      return completed(
        extra,
        asked({
          untitledSingle: { type: 'string', enum: plain },
          titledSingle: { type: 'string', oneOf: titled },
          legacyEnum: { type: 'string', enum: ['opt1', 'opt2'], enumNames: ['Option one', 'Option two'] },
          untitledMulti: { type: 'array', items: { type: 'string', enum: plain } },
          titledMulti: { type: 'array', items: { anyOf: titled } },
        }),
      );
    },
  },
  test_reconnection: {
    description: 'Closes its stream, and answers to the client that comes back',
    inputSchema: nothing,
    async run(_, extra) {
      extra.closeSSEStream?.();
      await pause(BETWEEN_NOTES_MS * 2);
      return { content: [text('Reconnection test completed successfully.')] };
    },
  },
  json_schema_2020_12_tool: {
    description: 'Its schema uses what JSON Schema 2020-12 has',
    inputSchema: {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      $defs: {
        address: {
          $anchor: 'addressDef',
          type: 'object',
          properties: { street: { type: 'string' }, city: { type: 'string' } },
        },
      },
      properties: {
        name: { type: 'string' },
        address: { $ref: '#/$defs/address' },
        contactMethod: { type: 'string', enum: ['phone', 'email'] },
        phone: { type: 'string' },
        email: { type: 'string' },
      },
      allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
      if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
      then: { required: ['phone'] },
      else: { required: ['email'] },
      additionalProperties: false,
    },
    run: (given) => ({ content: [text(JSON.stringify(given))] }),
  },
};

function elicit(extra, message, requestedSchema) {
  return extra.sendRequest(
    { method: 'elicitation/create', params: { message, requestedSchema } },
    types.ElicitResultSchema,
  );
}

async function completed(extra, schema) {
  const { action, content } = await elicit(extra, 'Please answer', schema);
  return {
    content: [text(`Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`)],
  };
}

const resources = {
  'test://static-text': {
    name: 'static-text',
    mimeType: 'text/plain',
    content: { text: 'This is the content of the static text resource.' },
  },
  'test://static-binary': { name: 'static-binary', mimeType: 'image/png', content: { blob: PNG } },
  'test://watched-resource': {
    name: 'watched-resource',
    mimeType: 'text/plain',
    content: { text: 'Watched resource content' },
  },
};
const template = /^test:\/\/template\/([^/]+)\/data$/;

function read(uri) {
  const found = resources[uri];
  if (found) return { uri, mimeType: found.mimeType, ...found.content };
  const id = template.exec(uri)?.[1];
  if (id === undefined) throw new types.McpError(-32002, `Resource not found: ${uri}`);
  const words = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
  return { uri, mimeType: 'application/json', text: words };
}

const user = (content) => ({ role: 'user', content });
const prompts = {
  test_simple_prompt: {
    get: () => [user(text('This is a simple prompt for testing.'))],
  },
  test_prompt_with_arguments: {
    arguments: [
      { name: 'arg1', description: 'First test argument', required: true },
      { name: 'arg2', description: 'Second test argument', required: true },
    ],
    get: ({ arg1, arg2 }) => [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
  },
  test_prompt_with_embedded_resource: {
    arguments: [{ name: 'resourceUri', description: 'The resource to embed', required: true }],
    get: ({ resourceUri }) => [
      user(embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.')),
      user(text('Please process the embedded resource above.')),
    ],
  },
  test_prompt_with_image: {
    get: () => [user(image), user(text('Please analyze the image above.'))],
  },
};

function make_server() {
  const server = new Server(
    { name: 'ringside-fixture', version: '1.0.0' },
    {
      capabilities: {
        tools: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        prompts: { listChanged: true },
        completions: {},
        logging: {},
      },
    },
  );
  server.setRequestHandler(types.ListToolsRequestSchema, () => ({
    tools: Object.entries(tools).map(([name, { description, inputSchema }]) => ({ name, description, inputSchema })),
  }));
  server.setRequestHandler(types.CallToolRequestSchema, ({ params }, extra) => {
    const tool = tools[params.name];
    if (!tool) throw new types.McpError(types.ErrorCode.InvalidParams, `Unknown tool: ${params.name}`);
    return tool.run(params.arguments ?? {}, extra);
  });
  server.setRequestHandler(types.ListResourcesRequestSchema, () => ({
    resources: Object.entries(resources).map(([uri, { name, mimeType }]) => ({
      uri,
      name,
      mimeType,
      description: `The ${name} of the tests`,
    })),
  }));
  server.setRequestHandler(types.ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: [
      { uriTemplate: 'test://template/{id}/data', name: 'template', mimeType: 'application/json' },
    ],
  }));
  server.setRequestHandler(types.ReadResourceRequestSchema, ({ params }) => ({ contents: [read(params.uri)] }));
  server.setRequestHandler(types.SubscribeRequestSchema, () => ({}));
  server.setRequestHandler(types.UnsubscribeRequestSchema, () => ({}));
  server.setRequestHandler(types.ListPromptsRequestSchema, () => ({
    prompts: Object.entries(prompts).map(([name, each]) => ({
      name,
      description: `The ${name} of the tests`,
      arguments: each.arguments,
    })),
  }));
  server.setRequestHandler(types.GetPromptRequestSchema, ({ params }) => {
    const prompt = prompts[params.name];
    if (!prompt) throw new types.McpError(types.ErrorCode.InvalidParams, `Unknown prompt: ${params.name}`);
    return { messages: prompt.get(params.arguments ?? {}) };
  });
  server.setRequestHandler(types.CompleteRequestSchema, ({ params }) => {
    const values = ['paris', 'park', 'party'].filter((word) => word.startsWith(params.argument.value));
    return { completion: { values, total: values.length, hasMore: false } };
  });
  return server;
}

// Of one session: every event by its stream, in order.
class EventStore {
  events = [];

  async storeEvent(stream, message) {
    this.events.push({ stream, message });
    return `${this.events.length - 1}.${stream}`;
  }
  async getStreamIdForEventId(id) {
    return this.events[Number.parseInt(id, 10)]?.stream;
  }
  async replayEventsAfter(id, { send }) {
    const last = Number.parseInt(id, 10);
    const stream = this.events[last]?.stream;
    if (stream === undefined) throw new Error('unknown event id');
    for (let n = last + 1; n < this.events.length; ++n) {
      const event = this.events[n];
      const priming = Object.keys(event.message).length === 0;
      if (event.stream === stream && !priming) await send(`${n}.${stream}`, event.message);
    }
    return stream;
  }
}

const sessions = new Map();

async function open_session() {
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: new EventStore(),
    retryInterval: RETRY_MS,
    onsessioninitialized: (id) => sessions.set(id, transport),
    onsessionclosed: (id) => sessions.delete(id),
  });
  await make_server().connect(transport);
  return transport;
}

function refuse(response, status, message) {
  response.status(status).json({ jsonrpc: '2.0', error: { code: -32000, message }, id: null });
}

const app = createMcpExpressApp();
app.all('/mcp', async (request, response) => {
  const id = request.headers['mcp-session-id'];
  if (id !== undefined && !sessions.has(id)) return refuse(response, 404, 'Session not found');
  if (id === undefined && !types.isInitializeRequest(request.body)) return refuse(response, 400, 'No session');
  const transport = id === undefined ? await open_session() : sessions.get(id);
  await transport.handleRequest(request, response, request.body);
});
const listener = app.listen(0, '127.0.0.1', () => console.log(`listening on ${listener.address().port}`));
