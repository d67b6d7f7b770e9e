// What both clients do with the server, whatever SDK and protocol era stand behind `client`:
//
//   call(name, args, onprogress)  calls a tool           watch(uri)  asks to hear of changes to a resource
//   changes                       what was heard so far: an EventEmitter that emits "change" with a URI
//
// It returns what it saw; judging that is the business of tests/test_foreign_clients.py.

import { on } from "node:events";

// Less than a job takes: a call that waits for one is kept alive by the progress it reports, or it is given up.
export const SILENCE_MS = 2_000;
const PATIENCE_MS = 60_000;
const GOING_ON = new Set(["JOB_STATE_QUEUED", "JOB_STATE_PENDING", "JOB_STATE_RUNNING"]);

export async function tour(client, { source, model, keys }, { call, watch, changes }) {
  const seen = { server: client.getServerVersion(), capabilities: client.getServerCapabilities() };
  seen.instructions = client.getInstructions();
  seen.tools = (await client.listTools()).tools;
  seen.templates = (await client.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate);
  seen.unknownArgument = await call("estimate_cost", { sauce: source, model });
  seen.unknownTool = await failure(() => call("estimate_costs", {}));
  seen.unknownJob = await failure(() => client.readResource({ uri: "batch://jobs/job_aaaaaaaaaaaaaaaa" }));

  seen.estimate = await call("estimate_cost", { source, model });
  const job = await call("create_batch", { source, model, name: "seen from afar" });
  const { job_id: id, uri } = job.structuredContent;
  seen.job = job;

  // One listener only watches, the other only asks: both have to learn of the end.
  const heard = follow(client, uri, changes);
  await watch(uri);
  const progress = [];
  seen.status = await call("check_status", { job_id: id, wait_s: 50 }, (news) => progress.push(news));
  seen.progress = progress;
  seen.watched = await heard;

  seen.results = await call("get_results", { job_id: id });
  seen.again = await call("create_batch", { source, model });
  seen.resources = (await client.listResources()).resources;
  // A client may build the address of a key itself; encodeURIComponent leaves !'()* as they are, the server does not.
  seen.ownAddresses = [];
  for (const key of keys) seen.ownAddresses.push(await read(client, `${uri}/results/${encodeURIComponent(key)}`));
  seen.givenAddresses = [];
  for (let page = seen.results.structuredContent; page; page = await pageAfter(page, call)) {
    for (const row of page.results) seen.givenAddresses.push(await read(client, row.uri));
  }
  const link = seen.results.content.find((block) => block.type === "resource_link");
  seen.page = link && (await read(client, `${link.uri}?limit=1`));
  seen.completedJob = await complete(client, "batch://jobs/{job_id}", "job_id", id.slice(0, 6));
  seen.completedKey = await complete(client, "batch://jobs/{job_id}/results/{key}", "key", keys[0].slice(0, 2), {
    job_id: id,
  });
  return seen;
}

// Read the job whenever something is said of it, until it is over; no other clock.
async function follow(client, uri, changes) {
  const seen = { updates: 0, states: [] };
  for await (const [changed] of on(changes, "change", { signal: AbortSignal.timeout(PATIENCE_MS) })) {
    if (changed !== uri) continue;
    seen.updates += 1;
    const { state } = (await read(client, uri)).json;
    if (seen.states.at(-1) !== state) seen.states.push(state);
    if (!GOING_ON.has(state)) return seen;
  }
}

async function pageAfter({ job_id, next_cursor: cursor }, call) {
  return cursor && (await call("get_results", { job_id, cursor })).structuredContent;
}

async function read(client, uri) {
  const [content] = (await client.readResource({ uri })).contents;
  return { uri: content.uri, mimeType: content.mimeType, json: JSON.parse(content.text) };
}

async function complete(client, template, name, value, context) {
  const asked = { ref: { type: "ref/resource", uri: template }, argument: { name, value } };
  const { completion } = await client.complete(context ? { ...asked, context: { arguments: context } } : asked);
  return completion.values;
}

async function failure(attempt) {
  try {
    return { answered: await attempt() };
  } catch (error) {
    return { code: error.code, message: error.message };
  }
}
