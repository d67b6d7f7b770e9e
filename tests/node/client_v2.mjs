// The official TypeScript SDK 2.x: protocol 2026-07-28 without a handshake, subscriptions/listen.
// node client_v2.mjs '{"command": …, "args": […], "env": {…}, "source": …, "model": …, "keys": […]}'

import { EventEmitter } from "node:events";

import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import { SILENCE_MS, tour } from "./tour.mjs";

const { command, args, env, ...given } = JSON.parse(process.argv[2]);
const client = new Client(
  { name: "genai-batch-test-v2", version: "1.0.0" },
  { versionNegotiation: { mode: "auto" } }, // as a host that serves both eras does
);
const changes = new EventEmitter();
let listChanges = 0;
client.setNotificationHandler("notifications/resources/updated", ({ params }) => {
  changes.emit("change", params.uri);
});
client.setNotificationHandler("notifications/resources/list_changed", () => {
  listChanges += 1;
});

await client.connect(new StdioClientTransport({ command, args, env }));
try {
  const lists = await client.listen({ resourcesListChanged: true });
  let watching;
  const seen = await tour(client, given, {
    changes,
    call: (name, args, onprogress) =>
      client.callTool(
        { name, arguments: args },
        {
          timeout: onprogress ? SILENCE_MS : 20_000,
          maxTotalTimeout: 60_000,
          resetTimeoutOnProgress: true,
          ...(onprogress && { onprogress }),
        },
      ),
    watch: async (uri) => {
      watching = await client.listen({ resourceSubscriptions: [uri] });
    },
  });
  await watching.close();
  await lists.close();
  const honoured = { ...lists.honoredFilter, ...watching.honoredFilter };
  console.log(JSON.stringify({ protocol: client.getNegotiatedProtocolVersion(), honoured, listChanges, ...seen }));
} finally {
  await client.close();
}
