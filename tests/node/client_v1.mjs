// The official TypeScript SDK 1.x: the handshake era, resources/subscribe.
// node client_v1.mjs '{"command": …, "args": […], "env": {…}, "source": …, "model": …, "keys": […]}'

import { EventEmitter } from "node:events";

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

import { SILENCE_MS, tour } from "./tour.mjs";

const { command, args, env, ...given } = JSON.parse(process.argv[2]);
const client = new Client({ name: "genai-batch-test-v1", version: "1.0.0" });
const changes = new EventEmitter();
client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => {
  changes.emit("change", params.uri);
});

const transport = new StdioClientTransport({ command, args, env });
let protocol;
transport.setProtocolVersion = (version) => {
  protocol = version; // the client keeps what was agreed to itself, but tells a transport that wants to know
};

await client.connect(transport);
try {
  const seen = await tour(client, given, {
    changes,
    call: (name, args, onprogress) =>
      client.callTool({ name, arguments: args }, undefined, {
        timeout: onprogress ? SILENCE_MS : 20_000,
        maxTotalTimeout: 60_000,
        resetTimeoutOnProgress: true,
        ...(onprogress && { onprogress }),
      }),
    watch: (uri) => client.subscribeResource({ uri }),
  });
  console.log(JSON.stringify({ protocol, ...seen }));
} finally {
  await client.close();
}
