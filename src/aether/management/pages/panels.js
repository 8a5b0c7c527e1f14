// What each second brings, as panels. Each function answers with elements made of the state.

import { bytes, count, gauge, h, mark, millis, percent, rate, s, span, table } from "./dom.js";

const STATES = {
  ACTIVE: "good", ON_DUTY: "good", HEALTHY: "good", COMPLETED: "good",
  DEGRADED: "warn", DRAINING: "warn", ROLLING_BACK: "warn", ROLLED_BACK: "warn", SHUTTING_DOWN: "warn", UNREACHABLE: "bad",
  FAILED: "bad", LOST: "bad", IDLE: "idle", AT_REST: "idle", DECOMMISSIONED: "idle", STOPPED: "idle",
};
export const state = (word) => mark(STATES[word] ?? "wait", word.replaceAll("_", " ").toLowerCase());
const more = (number) => (number > 0 ? h("p", { class: "quiet" }, `and ${count(number)} more`) : null);
const sum = (values) => values.reduce((one, other) => one + (other ?? 0), 0);

export function summary(data) {
  const loads = Object.values(data.load);
  const calls = sum(data.invocations.map((each) => each.requestsPerSecond));
  const failed = sum(data.invocations.map((each) => each.requestsPerSecond * each.failureRate));
  const p95 = Math.max(0, ...loads.map((load) => load["calls.p95_s"] ?? 0));
  const reached = data.members.filter((member) => member.reachable).length;
  const grave = data.alerts.some((alert) => alert.severity === "CRITICAL");
  const pairs = [
    ["Majority", data.quorum ? mark("good", "yes") : mark("bad", "no")],
    ["Leader", data.leader || mark("bad", "none")],
    ["Term", data.term],
    ["Nodes", reached === data.members.length ? mark("good", `${reached} of ${data.members.length}`) : mark("warn", `${reached} of ${data.members.length}`)],
    ["Calls", `${rate(calls)} /s`],
    ["Success", calls > 0 ? mark(failed / calls < 0.01 ? "good" : failed / calls < 0.05 ? "warn" : "bad", percent(1 - failed / calls)) : "–"],
    ["p95", p95 > 0 ? millis(p95 * 1e3) : "–"],
    ["Alerts", data.alerts.length ? mark(grave ? "bad" : "warn", data.alerts.length) : mark("good", "none")],
    ["Asked", `${data.nodeId}, up ${span(data.uptimeSeconds)}`],
  ];
  return pairs.map(([name, value]) => h("div", { "data-key": name }, h("dt", null, name), h("dd", null, value)));
}

export function nodes(data) {
  const columns = [{ head: "Node" }, { head: "Role" }, { head: "State" }, { head: "CPU" }, { head: "Memory" }, { head: "Loop lag", number: true }, { head: "Calls /s", number: true },
    { head: "In flight", number: true }, { head: "Instances", number: true }, { head: "Links", number: true }, { head: "Told", number: true }];
  const rows = data.members.map((member) => {
    const load = data.load[member.id] ?? {};
    const lag = load["loop.lag_s"];
    return {
      key: member.id,
      cells: [
        member.id, member.isLeader ? h("b", null, "★ leader") : member.voter ? "voter" : "worker", state(member.state),
        load["cpu.usage"] === undefined ? "–" : gauge(load["cpu.usage"], percent(load["cpu.usage"]), "of the processor time that it can use"),
        load["heap.used"] === undefined ? "–" : gauge(load["heap.usage"], bytes(load["heap.used"]), `of ${bytes(load["heap.max"])}`),
        lag === undefined ? "–" : lag > 0.1 ? mark("warn", millis(lag * 1e3)) : millis(lag * 1e3),
        rate(load["calls.rate"]), count(load["calls.in_flight"]), member.instances, count(load["transport.peers"]),
        data.ageSeconds[member.id] === undefined ? "–" : data.ageSeconds[member.id] > 5 ? mark("warn", `${span(data.ageSeconds[member.id])} ago`) : "now",
      ],
    };
  });
  return [table("Nodes", columns, rows, "No node is known yet."), more(data.more.members)];
}

const OVER = new Set(["COMPLETED", "ROLLED_BACK", "FAILED"]);

export function slices(data) {
  const columns = [{ head: "Slice" }, { head: "State" }, { head: "Active", number: true }, { head: "Instances" }, { head: "" }];
  const updated = new Set(data.updates.filter((each) => !OVER.has(each.state)).map((each) => `${each.artifactBase}:${each.newVersion}`));
  const rows = data.slices.map((slice) => ({
    key: slice.artifact,
    cells: [
      [h("span", { class: "artifact" }, slice.artifact), slice.blueprint ? h("small", null, ` of ${slice.blueprint}`) : null],
      [state(slice.state), slice.unsatisfied ? h("small", { class: "reason" }, `${slice.unsatisfied.missing} missing: ${slice.unsatisfied.reason}`) : null],
      updated.has(slice.artifact) ? [`${slice.activeInstances}`, h("small", null, " by the update")] : `${slice.activeInstances} of ${slice.desiredInstances}`,
      h("ul", { class: "chips" }, slice.instances.map((each) => h("li", { "data-key": each.instance, title: each.reason || null }, h("span", null, each.node, " "), state(each.state),
        each.state === "FAILED" && each.reason ? h("small", { class: "reason" }, each.reason) : null))),
      h("button", { type: "button", class: "plain", "data-why": slice.artifact, "aria-label": `Why so many instances of ${slice.artifact}?` }, "Why?"),
    ],
  }));
  return [table("Slices", columns, rows, "No slice is deployed."), more(data.more.slices)];
}

export function updates(data) {
  const columns = [{ head: "Slice" }, { head: "Versions" }, { head: "State" }, { head: "Traffic" }, { head: "Active", number: true }, { head: "Step" }, { head: "Waits for" }];
  const rows = data.updates.map((update) => {
    const all = update.newWeight + update.oldWeight || 1;
    const share = update.newWeight / all;
    return {
      key: update.updateId,
      cells: [
        [h("span", { class: "artifact" }, update.artifactBase), h("small", null, ` ${update.updateId}`)], `${update.oldVersion} → ${update.newVersion}`,
        [state(update.state), update.paused ? " (paused)" : null, update.reason ? h("small", { class: "reason" }, update.reason) : null],
        h("span", { class: "share" }, s("svg", { viewBox: "0 0 100 10", width: 100, height: 10, "aria-hidden": "true" },
          s("rect", { width: 100, height: 10, class: "old" }), s("rect", { width: share * 100, height: 10, class: "new" })),
        ` new ${percent(share)}, old ${percent(1 - share)}`),
        `${update.newActive} new, ${update.oldActive} old`, update.steps.length ? `${update.step + 1} of ${update.steps.length}, ${update.strategy.toLowerCase()}` : update.strategy.toLowerCase(), update.waitsFor || "–",
      ],
    };
  });
  return [table("Updates", columns, rows, "No update is under way, and none is remembered."), more(data.more.updates)];
}

export function calls(data) {
  const columns = [{ head: "Method" }, { head: "Calls /s", number: true }, { head: "Failed", number: true }, { head: "In flight", number: true }, { head: "p50", number: true }, { head: "p95", number: true },
    { head: "p99", number: true }, { head: "p99.9", number: true }, { head: "Slow", number: true }, { head: "All calls", number: true }];
  const rows = data.invocations.map((each) => ({
    key: `${each.artifact}/${each.method}`,
    cells: [
      [h("b", null, each.method), h("small", { class: "artifact" }, ` ${each.artifact}`)], rate(each.requestsPerSecond),
      each.failureRate > 0 ? mark(each.failureRate >= 0.05 ? "bad" : "warn", percent(each.failureRate)) : "0 %",
      each.inFlight, each.requestsPerSecond > 0 ? millis(each.p50Ms) : "–", each.requestsPerSecond > 0 ? millis(each.p95Ms) : "–", each.requestsPerSecond > 0 ? millis(each.p99Ms) : "–",
      each.requestsPerSecond > 0 ? millis(each.p999Ms) : "–", each.slowInvocations ? mark("warn", count(each.slowInvocations)) : "0", count(each.count),
    ],
  }));
  return [table("Calls by method", columns, rows, "Nothing was called yet."), more(data.invocationsMore)];
}

export function slow(found) {
  const columns = [{ head: "Method" }, { head: "Took", number: true }, { head: "Ended" }, { head: "Called by" }, { head: "Outcome" }, { head: "Request" }];
  const rows = found.slice(0, 20).map((each, at) => ({
    key: `${each.requestId}${each.timestampNs}${at}`,
    cells: [
      [h("b", null, each.method), h("small", { class: "artifact" }, ` ${each.artifact}`)], millis(each.durationMs), new Date(each.timestampNs / 1e6).toLocaleTimeString("en-GB"), each.nodeId,
      each.success ? mark("good", "answered") : mark("bad", each.failure ?? "failed"),
      each.requestId ? h("button", { type: "button", class: "plain", "data-trace": each.requestId, "aria-label": `Trace of ${each.requestId}` }, each.requestId) : "–",
    ],
  }));
  return table("Slow calls", columns, rows, "None of late. Which calls are slow is set with aether invocation-metrics strategy.");
}

export function alerts(data) {
  if (data.alerts.length === 0) return h("p", null, mark("good", "None holds now."));
  return h("ul", { class: "alerts" }, data.alerts.map((alert) => h("li", { "data-key": `${alert.metric}:${alert.nodeId}` },
    mark(alert.severity === "CRITICAL" ? "bad" : "warn", alert.severity.toLowerCase()), " ", h("b", null, alert.metric), ` of ${alert.nodeId} `,
    alert.value === undefined ? alert.summary : `is ${Number(alert.value.toPrecision(4))}, ${alert.severity.toLowerCase()} from ${alert.threshold}`, " ", h("small", null, alert.triggeredAt ? `since ${new Date(alert.triggeredAt).toLocaleTimeString("en-GB")}` : ""))));
}

export function thresholds(data) {
  const columns = [{ head: "Metric" }, { head: "Warning from", number: true }, { head: "Critical from", number: true }, { head: "" }];
  const rows = Object.entries(data.thresholds).map(([metric, each]) => ({
    key: metric, cells: [metric, each.warning, each.critical, h("button", { type: "button", class: "plain", "data-threshold": metric, "aria-label": `Change the threshold of ${metric}` }, "Change")],
  }));
  return table("Thresholds", columns, rows, "None is known here. Setting one needs the role operator.");
}

export function routes(data) {
  const columns = [{ head: "Route" }, { head: "Method" }];
  const rows = data.routes.map((route) => ({
    key: `${route.method} ${route.path} ${route.artifact}`,
    cells: [[h("b", null, route.method), ` ${route.path}`], [h("span", { class: "artifact" }, `${route.artifact}.${route.sliceMethod}`), route.shadowedBy ? h("small", { class: "reason" }, `never reached: ${route.shadowedBy} answers`) : null]],
  }));
  return [table("Routes", columns, rows, "No slice has a route."), more(data.more.routes)];
}

export function events(found, least) {
  const ranks = { INFO: 0, WARNING: 1, CRITICAL: 2 };
  const kinds = { INFO: "idle", WARNING: "warn", CRITICAL: "bad" };
  const columns = [{ head: "When" }, { head: "Severity" }, { head: "Type" }, { head: "What" }, { head: "Seen by" }];
  const rows = found.filter((each) => ranks[each.severity] >= ranks[least]).map((each) => ({
    key: each.id,
    cells: [new Date(each.timestamp).toLocaleTimeString("en-GB"), mark(kinds[each.severity], each.severity.toLowerCase()), each.type.replaceAll("_", " ").toLowerCase(), h("span", { class: "prose" }, each.summary), each.nodeId || "all"],
  }));
  return table("Events", columns, rows, "Nothing happened that is as grave.");
}
