"use strict";
// A walk through every operation of a client for node.js: `azure_batch_js.js azure-batch` or
// `... @azure/batch`. Both have the same groups of operations, the older one more names for them.

const crypto = require("crypto");

const { step, check, go, until } = require("./steps.js");

const [, , PACKAGE] = process.argv;
const { BATCH_ENDPOINT, BATCH_ACCOUNT, BATCH_KEY } = process.env;
const NEWER = PACKAGE.startsWith("@");
const START_TEXT = "the node has started";
const FAILED = "state eq 'completed' and executionInfo/exitCode ne 0";
const HOUR = NEWER ? "PT1H" : require("moment").duration("PT1H");
// Of nobody: made for this walk, its key thrown away.
const CERTIFICATE = [
  "MIIBeTCCAR+gAwIBAgIUUgeekrokdfTyV0swYuPbsfizygAwCgYIKoZIzj0EAwIwETEPMA0GA1UEAwwGd2Fs",
  "a2VyMCAXDTI2MTEyMDE3MDQ0OFoYDzIxMjYxMDI3MTcwNDQ4WjARMQ8wDQYDVQQDDAZ3YWxrZXIwWTATBgcq",
  "hkjOPQIBBggqhkjOPQMBBwNCAASy9pi/oqfYJiCptxv8e3yYD6yZB3KVoyAgub/5Lp8z+9aBAzkUSBDkAC3B",
  "L6xqKV6KYl01474+CkPXfhPcu/zpo1MwUTAdBgNVHQ4EFgQUjzA9wpoLuuGR38mcEocxFOZdtQMwHwYDVR0j",
  "BBgwFoAUjzA9wpoLuuGR38mcEocxFOZdtQMwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA",
  "oHUy+BXUp1O4Qn90TnIiO1f7A7XNy4YC4toj4vbr838CIGE8/+Z+GDr1/x9t9ALUkxChsTCYSUrS0wgU75+r",
  "xt1U",
].join("");
const THUMBPRINT = crypto.createHash("sha1").update(CERTIFICATE, "base64").digest("hex");

const batch = require(PACKAGE);
const client = NEWER
  ? new batch.BatchServiceClient(
      new batch.BatchSharedKeyCredentials(BATCH_ACCOUNT, BATCH_KEY),
      BATCH_ENDPOINT,
    )
  : new batch.ServiceClient(
      new batch.SharedKeyCredentials(BATCH_ACCOUNT, BATCH_KEY),
      BATCH_ENDPOINT,
    );
if (!NEWER) {
  client.certificate = client.certificateOperations;
  client.computeNode = client.computeNodeOperations;
}
const GROUPS = ["account", "application", "certificate", "computeNode", "computeNodeExtension"].concat(
  ["file", "job", "jobSchedule", "pool", "task"],
).filter((group) => client[group]);
const tried = new Set();

/** Call an operation and give its answer, without a step for it. */
async function ask(operation, ...words) {
  const [group, name] = operation.split(".");
  const givesBytes = name.startsWith("getFrom") || name === "getRemoteDesktop";
  if (givesBytes) return NEWER ? body(operation, words) : text(operation, words);
  const answer = await client[group][name](...words);
  return name === "exists" && NEWER ? answer.body : answer;
}

/** What a stream of the newer client has. */
async function body(operation, words) {
  const [group, name] = operation.split(".");
  const chunks = [];
  for await (const chunk of (await client[group][name](...words)).readableStreamBody) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** What a stream of the older client has: it flows at once, so that a promise were too late. */
function text(operation, words) {
  const [group, name] = operation.split(".");
  return new Promise((resolve, reject) => {
    client[group][name](...words, (error, stream) => {
      if (error) return reject(error);
      const chunks = [];
      stream.on("data", (chunk) => chunks.push(chunk));
      stream.on("end", () => resolve(Buffer.concat(chunks).toString()));
    });
  });
}

/** Call an operation as a step; `called` tells it from another call of the same. */
function doAs(called, operation, ...words) {
  tried.add(operation);
  return step(called ? `${operation}: ${called}` : operation, () => ask(operation, ...words));
}

const does = (operation, ...words) => doAs("", operation, ...words);
const has = (operation) => {
  const [group, name] = operation.split(".");
  return client[group] !== undefined && client[group][name] !== undefined;
};

/** All items of a list, asked for in pages of one or as many as there are. */
async function pages(operation, words, size, options = {}) {
  const [group, name] = operation.split(".");
  const title = name.replace(/^list/, "List");
  const key = `${group}${title}Options`;
  const next = `${key.replace(/Options$/, "")}NextOptions`;
  let page = await does(operation, ...words, { [key]: { ...options, maxResults: size } });
  const all = [...(page || [])];
  while (page && page.odatanextLink) {
    page = await does(`${operation}Next`, page.odatanextLink, { [next]: {} });
    all.push(...(page || []));
  }
  return all;
}

const ids = (list) => (list || []).map((each) => each.id);
const stateOf = async (...words) => (await ask(...words)).state;
const steady = (pool) =>
  until("steady", async () => (await ask("pool.get", pool)).allocationState === "steady");
const gone = (pool) => until("its end", async () => !(await ask("pool.exists", pool)));

const pool = (id, nodes) => ({
  id,
  vmSize: "standard_d2s_v3",
  virtualMachineConfiguration: {
    imageReference: {
      publisher: "canonical",
      offer: "0001-com-ubuntu-server-jammy",
      sku: "22_04-lts",
      version: "latest",
    },
    nodeAgentSKUId: "batch.node.ubuntu 22.04",
  },
  targetDedicatedNodes: nodes,
  enableInterNodeCommunication: true,
  startTask: { commandLine: `/bin/sh -c 'echo ${START_TEXT}'`, waitForSuccess: true },
  metadata: [{ name: "made", value: "by the walk" }],
});

async function allIdle(count) {
  await until(`${count} idle nodes`, async () => {
    const states = (await ask("computeNode.list", "main")).map((node) => node.state);
    return states.length === count && states.every((state) => state === "idle");
  });
}

async function account() {
  const images = await pages("account.listSupportedImages", [], 3);
  check("there are images for Linux", images.some((each) => each.osType === "linux"), images);
  check("there are no applications", ids(await pages("application.list", [], 5)).length === 0);
  await does("application.get", "none");
  await pages("pool.listUsageMetrics", [], 5);
  await does("pool.getAllLifetimeStatistics");
  await does("job.getAllLifetimeStatistics");
}

async function certificates() {
  const name = ["sha1", THUMBPRINT];
  await does("certificate.add", {
    thumbprintAlgorithm: "sha1",
    thumbprint: THUMBPRINT,
    data: CERTIFICATE,
    certificateFormat: "cer",
  });
  const listed = await pages("certificate.list", [], 5);
  check("it is listed", listed.length === 1 && listed[0].thumbprint === THUMBPRINT, listed);
  const shown = await does("certificate.get", ...name);
  check("it is active", shown.state === "active", shown);
  await does("certificate.cancelDeletion", ...name);
  await does("certificate.deleteMethod", ...name);
}

async function pools() {
  await does("pool.add", pool("main", 2));
  await doAs("again", "pool.add", pool("main", 2));
  check("the pool exists", (await does("pool.exists", "main")) === true);
  check("no other exists", (await doAs("none", "pool.exists", "none")) === false);
  const shown = await does("pool.get", "main", { poolGetOptions: { expand: "stats" } });
  check("the pool has its metadata", shown.metadata[0].name === "made", shown);
  await ask("pool.add", pool("other", 0));
  const found = await pages("pool.list", [], 1, { filter: "id gt 'a'", select: "id,state" });
  check("both pools are listed", String(ids(found)) === "main,other", found);
  check("only what was selected", found.every((each) => each.vmSize === undefined), found);
  const metadata = [{ name: "changed", value: "by the walk" }];
  await does("pool.patch", "main", { metadata });
  const changed = await ask("pool.get", "main");
  check("the update shows", changed.metadata[0].name === "changed", changed);
  const stale = { poolPatchOptions: { ifMatch: shown.eTag } };
  await doAs("stale ETag", "pool.patch", "main", { metadata: [] }, stale);
  await allIdle(2);
  const counts = await pages("account.listPoolNodeCounts", [], 1);
  const idle = counts.map((each) => each.dedicated.idle);
  check("two are idle", String(idle) === "2,0", counts);
}

async function autoscale() {
  const autoScaleFormula = "$TargetDedicatedNodes = 0;";
  await steady("other");
  await does("pool.enableAutoScale", "other", { autoScaleFormula });
  await does("pool.evaluateAutoScale", "other", autoScaleFormula);
  await does("pool.disableAutoScale", "other");
  await ask("pool.deleteMethod", "other");
  await gone("other");
}

async function nodeFiles(node) {
  const at = ["main", node];
  const every = { recursive: true };
  const name = "file.listFromComputeNode";
  let page = await does(name, ...at, { ...every, fileListFromComputeNodeOptions: { maxResults: 3 } });
  const names = (page || []).map((file) => file.name);
  while (page && page.odatanextLink) {
    page = await does(`${name}Next`, page.odatanextLink);
    names.push(...page.map((file) => file.name));
  }
  check("the start task's output is listed", names.includes("startup/stdout.txt"), names);
  const output = [...at, "startup/stdout.txt"];
  const about = await does("file.getPropertiesFromComputeNode", ...output);
  if (NEWER) check("it has a length", about.contentLength === START_TEXT.length + 1, about);
  const text = await does("file.getFromComputeNode", ...output);
  check("it is what was printed", text === `${START_TEXT}\n`, text);
  const range = { fileGetFromComputeNodeOptions: { ocpRange: "bytes=4-7" } };
  const part = await doAs("range", "file.getFromComputeNode", ...output, range);
  check("a range of it", part === START_TEXT.slice(4, 8), part);
  await does("file.deleteFromComputeNode", ...at, "startup/stderr.txt");
  await doAs("deleted", "file.getFromComputeNode", ...at, "startup/stderr.txt");
}

async function nodeParts(node) {
  const at = ["main", node];
  const expiryTime = new Date(Date.now() + 86400000);
  await does("computeNode.addUser", ...at, { name: "walker", password: "Secret-1", expiryTime });
  await does("computeNode.updateUser", ...at, "walker", { password: "Secret-2", expiryTime });
  await does("computeNode.deleteUser", ...at, "walker");
  await doAs("again", "computeNode.deleteUser", ...at, "walker");
  await does("computeNode.getRemoteLoginSettings", ...at);
  await does("computeNode.getRemoteDesktop", ...at);
  if (has("computeNodeExtension.list")) {
    await pages("computeNodeExtension.list", at, 5);
    await does("computeNodeExtension.get", ...at, "none");
  }
  const containerUrl = "http://127.0.0.1:1/devstoreaccount1/logs?sig=none";
  const logs = { containerUrl, startTime: new Date() };
  await does("computeNode.uploadBatchServiceLogs", ...at, logs);
}

async function nodes() {
  const found = await pages("computeNode.list", ["main"], 1, { filter: "state eq 'idle'" });
  check("there are two", found.length === 2, found);
  const node = found[0].id;
  const shown = await does("computeNode.get", "main", node);
  check("its start task succeeded", shown.startTaskInfo.exitCode === 0, shown);
  await go(nodeFiles, node);
  await go(nodeParts, node);
  const inState = (state) =>
    until(state, async () => (await stateOf("computeNode.get", "main", node)) === state);
  const how = { nodeDisableSchedulingOption: "terminate" };
  await does("computeNode.disableScheduling", "main", node, how);
  await inState("offline");
  await does("computeNode.enableScheduling", "main", node);
  await inState("idle");
  await does("computeNode.reboot", "main", node);
  await inState("idle");
  await does("computeNode.reimage", "main", node, { nodeReimageOption: "terminate" });
  await inState("idle");
}

const job = (id, more) => ({ id, poolInfo: { poolId: "main" }, ...more });

async function jobs() {
  const work = job("work", {
    priority: 5,
    usesTaskDependencies: true,
    jobPreparationTask: { commandLine: "/bin/true" },
    jobReleaseTask: { commandLine: "/bin/true" },
    constraints: { maxWallClockTime: HOUR },
    metadata: [{ name: "made", value: "by the walk" }],
  });
  await does("job.add", work);
  await doAs("again", "job.add", work);
  const shown = await does("job.get", "work");
  check("the job has its priority", shown.priority === 5, shown);
  await ask("job.add", job("second"));
  const listed = await pages("job.list", [], 1, { filter: "state eq 'active'", expand: "stats" });
  check("the jobs are listed", String(ids(listed)) === "second,work", ids(listed));
  await ask("job.deleteMethod", "second");
  await does("job.patch", "work", { priority: 7 });
  check("PATCH changes what it names", (await ask("job.get", "work")).priority === 7);
  await does("job.update", "work", { poolInfo: { poolId: "main" }, priority: 9 });
  const replaced = await ask("job.get", "work");
  const left = [replaced.priority, (replaced.metadata || []).length];
  check("PUT changes all", String(left) === "9,0", replaced);
  await does("job.disable", "work", "requeue");
  await until("disabled", async () => (await stateOf("job.get", "work")) === "disabled");
  await does("job.enable", "work");
  await until("enabled", async () => (await stateOf("job.get", "work")) === "active");
  await go(tasks);
  await go(taskFiles);
  const prepared = await pages("job.listPreparationAndReleaseTaskStatus", ["work"], 1);
  const codes = prepared.map((each) => each.jobPreparationTaskExecutionInfo.exitCode);
  check("the preparation ran", String(codes) === "0,0", prepared);
  await does("job.terminate", "work", { terminateReason: "the walk is over" });
  await until("its end", async () => (await stateOf("job.get", "work")) === "completed");
  const ended = (await ask("job.get", "work")).executionInfo;
  check("it says why it ended", ended.terminateReason === "the walk is over", ended);
  await does("job.deleteMethod", "work");
}

async function finished(...names) {
  const found = await Promise.all(names.map((name) => ask("task.get", "work", name)));
  return found.every((task) => task.state === "completed") && found;
}

async function tasks() {
  const wide = { numberOfInstances: 2, coordinationCommandLine: "/bin/true" };
  const command = { commandLine: "/bin/true" };
  await ask("task.add", "work", { id: "wide", ...command, multiInstanceSettings: wide });
  await until("wide", () => finished("wide"));
  const parts = await does("task.listSubtasks", "work", "wide");
  check("one part beside the first", parts && parts.value.length === 1, parts);

  const echo = "/bin/sh -c 'echo out of one; echo x > kept.txt'";
  await does("task.add", "work", { id: "one", commandLine: echo });
  await doAs("again", "task.add", "work", { id: "one", ...command });
  const added = await does("task.addCollection", "work", [
    { id: "bad", commandLine: "/bin/sh -c 'exit 3'" },
    { id: "long", commandLine: "/bin/sleep 300" },
    { id: "one", ...command },
  ]);
  const outcomes = (added ? added.value : []).map((each) => `${each.taskId} ${each.status}`);
  check("two were added", String(outcomes.sort()).toLowerCase() ===
    "bad success,long success,one clienterror", added);
  const dependsOn = { taskIds: ["one"] };
  const many = [...Array(9).keys()].map((n) => ({ id: `m${n}`, ...command, dependsOn }));
  await doAs("many", "task.addCollection", "work", many);
  const [one, bad] = await until("one and bad", () => finished("one", "bad"));
  check("exit codes", one.executionInfo.exitCode === 0 && bad.executionInfo.exitCode === 3);
  await does("task.get", "work", "one", { taskGetOptions: { expand: "stats" } });
  await until("the dependents", () => finished(...many.map((task) => task.id)));
  const done = await pages("task.list", ["work"], 5, { filter: "state eq 'completed'" });
  check("all but one have ended", done.length === 12, ids(done));
  const counted = await does("job.getTaskCounts", "work");
  const counts = counted.taskCounts || counted;
  const seen = [counts.running, counts.completed, counts.succeeded, counts.failed];
  check("counts", String(seen) === "1,12,11,1", counted);
  const failed = await ask("task.list", "work", { taskListOptions: { filter: FAILED } });
  check("one has failed", String(ids(failed)) === "bad", failed);

  await does("task.update", "work", "long", { constraints: { maxTaskRetryCount: 2 } });
  const changed = (await ask("task.get", "work", "long")).constraints.maxTaskRetryCount;
  check("the constraints have changed", changed === 2, changed);
  await does("task.terminate", "work", "long");
  await until("long", () => finished("long"));
  await doAs("again", "task.terminate", "work", "long");
  await does("task.reactivate", "work", "bad");
  await until("bad again", () => finished("bad"));
  await doAs("successful", "task.reactivate", "work", "one");
  await does("task.deleteMethod", "work", "m0");
  await doAs("deleted", "task.get", "work", "m0");
}

async function taskFiles() {
  const at = ["work", "one"];
  const name = "file.listFromTask";
  let page = await does(name, ...at, { recursive: true, fileListFromTaskOptions: { maxResults: 1 } });
  const names = (page || []).map((file) => file.name);
  while (page && page.odatanextLink) {
    page = await does(`${name}Next`, page.odatanextLink);
    names.push(...page.map((file) => file.name));
  }
  check("its files are listed", names.includes("wd/kept.txt"), names);
  await does("file.getPropertiesFromTask", ...at, "stdout.txt");
  const text = await does("file.getFromTask", ...at, "stdout.txt");
  check("its output is read back", text === "out of one\n", text);
  await does("file.deleteFromTask", ...at, "wd/kept.txt");
  await doAs("deleted", "file.getFromTask", ...at, "wd/kept.txt");
}

async function schedules() {
  const schedule = { recurrenceInterval: HOUR };
  const jobSpecification = { poolInfo: { poolId: "main" }, priority: 1 };
  await does("jobSchedule.add", { id: "clock", schedule, jobSpecification });
  await ask("jobSchedule.add", { id: "other", schedule, jobSpecification });
  check("it exists", (await does("jobSchedule.exists", "clock")) === true);
  check("no other exists", (await doAs("none", "jobSchedule.exists", "none")) === false);
  await until("its first job", async () => (await ask("job.listFromJobSchedule", "clock")).length);
  const made = await pages("job.listFromJobSchedule", ["clock"], 1);
  check("it has a job", String(ids(made)) === "clock:job-1", ids(made));
  await doAs("of a schedule", "job.get", "clock:job-1");
  const shown = await does("jobSchedule.get", "clock");
  check("it names its job", shown.executionInfo.recentJob.id === "clock:job-1", shown);
  const listed = await pages("jobSchedule.list", [], 1, { filter: "state eq 'active'" });
  check("they are listed", String(ids(listed)) === "clock,other", ids(listed));
  await ask("jobSchedule.deleteMethod", "other");
  await does("jobSchedule.patch", "clock", { metadata: [{ name: "changed", value: "yes" }] });
  const changed = await ask("jobSchedule.get", "clock");
  check("PATCH changes what it names", changed.metadata[0].name === "changed", changed);
  const whole = { schedule, jobSpecification: { ...jobSpecification, priority: 2 } };
  await does("jobSchedule.update", "clock", whole);
  const replaced = await ask("jobSchedule.get", "clock");
  check("PUT changes all", replaced.jobSpecification.priority === 2, replaced);
  await does("jobSchedule.disable", "clock");
  await does("jobSchedule.enable", "clock");
  await does("jobSchedule.terminate", "clock");
  await until("its end", async () => (await stateOf("jobSchedule.get", "clock")) === "completed");
  await does("jobSchedule.deleteMethod", "clock");
}

async function end() {
  await does("pool.resize", "main", { targetDedicatedNodes: 3, resizeTimeout: HOUR });
  await steady("main");
  await allIdle(3);
  await ask("job.add", job("busy"));
  await ask("task.add", "busy", { id: "long", commandLine: "/bin/sleep 300" });
  await until("it runs", async () => (await stateOf("task.get", "busy", "long")) === "running");
  const away = { targetDedicatedNodes: 0, nodeDeallocationOption: "taskcompletion" };
  await ask("pool.resize", "main", away);
  await does("pool.stopResize", "main");
  await steady("main");
  await doAs("steady", "pool.stopResize", "main");
  await ask("job.deleteMethod", "busy");
  const [node] = await ask("computeNode.list", "main");
  await does("pool.removeNodes", "main", { nodeList: [node.id] });
  await steady("main");
  const left = ids(await ask("computeNode.list", "main"));
  check("it is gone", !left.includes(node.id), left);
  const nothing = { certificateReferences: [], applicationPackageReferences: [], metadata: [] };
  await does("pool.updateProperties", "main", nothing);
  const replaced = await ask("pool.get", "main");
  check("the start task is gone", !replaced.startTask, replaced.startTask);
  await does("pool.deleteMethod", "main");
  await gone("main");
  await doAs("deleted", "pool.get", "main");
}

/** Operations of all groups that no step has called; not all lists have a second page here. */
function untried() {
  const names = GROUPS.flatMap((group) =>
    Object.getOwnPropertyNames(Object.getPrototypeOf(client[group])).map((n) => `${group}.${n}`),
  );
  const called = (name) => tried.has(name) || tried.has(name.replace(/Next$/, ""));
  return names.filter(
    (name) => !called(name) && !/\.constructor$|WithHttpOperationResponse$/.test(name),
  );
}

async function main() {
  const parts = [account, certificates, pools, autoscale, nodes, jobs, schedules, end];
  for (const part of parts) await go(part);
  check("every operation has a step", untried().length === 0, untried());
}

main();
