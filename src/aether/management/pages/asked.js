// What is shown because somebody asked: why a slice has so many instances, and where a request went.

import { ask } from "./api.js";
import { h, millis, s, show, table } from "./dom.js";

const missing = (status, detail) => h("p", { class: "quiet" }, status === 404 ? "Not available." : status === 0 ? "The node does not answer." : `Refused (${status}).`, detail ? ` ${detail}` : "");

export async function explain(artifact, place) {
  show(place, h("p", { class: "quiet" }, "Asking …"));
  const name = artifact.split(":").slice(0, 2).join(":");
  const { status, body } = await ask(`/explain/${encodeURIComponent(name)}`);
  if (status !== 200) return show(place, h("h3", null, artifact), missing(status, body.detail));
  const decisions = (body.decisions ?? []).slice(0, 10).map((each, at) => ({
    key: String(each.number ?? at), cells: [each.at ? new Date(each.at * 1000).toLocaleTimeString("en-GB") : "–", `${each.from ?? "?"} → ${each.to ?? "?"}`, (each.reasons ?? []).map((reason) => reason.text).join("; ")],
  }));
  return show(place, h("h3", null, body.artifact), h("ul", null, (body.why ?? []).map((line) => h("li", null, line))),
    decisions.length ? [h("h3", null, "Decisions of the controller"), table("Decisions", [{ head: "When" }, { head: "Instances" }, { head: "Reason" }], decisions, "")] : null);
}

export async function trace(request, place) {
  show(place, h("p", { class: "quiet" }, "Asking …"));
  const { status, body } = await ask(`/traces/${encodeURIComponent(request)}`);
  if (status !== 200) return show(place, missing(status, body.detail));
  const spans = body.spans ?? [];
  if (spans.length === 0) return show(place, h("p", { class: "quiet" }, "No call of this request is remembered."));
  const begin = Math.min(...spans.map(started));
  const whole = Math.max(0.001, ...spans.map((each) => started(each) - begin + took(each)));
  const rows = spans.map((each, at) => {
    const from = ((started(each) - begin) / whole) * 300;
    const failed = !each.running && !["", "ok", "done", "answered"].includes(String(each.outcome ?? "").toLowerCase());
    return {
      key: String(at),
      cells: [
        ["\u2003".repeat(Math.min(each.depth ?? 0, 12)), h("b", null, each.name ?? "?"), each.running ? h("span", { class: "mark wait" }, " ◐ running") : null, failed ? h("span", { class: "mark bad" }, ` ■ ${each.outcome}`) : null], each.nodeId ?? "–", millis(took(each)),
        s("svg", { viewBox: "0 0 300 12", width: 300, height: 12, role: "img", "aria-label": `begins after ${millis(started(each) - begin)}, takes ${millis(took(each))}` },
          s("rect", { width: 300, height: 12, class: "ground" }), s("rect", { x: from, width: Math.max(2, (took(each) / whole) * 300), height: 12, class: failed ? "span failed" : "span" })),
      ],
    };
  });
  return show(place, table("Calls of the request", [{ head: "Call" }, { head: "Node" }, { head: "Took", number: true }, { head: `Within ${millis(whole)}` }], rows, ""),
    (body.unheard ?? []).length ? h("p", { class: "quiet" }, `Not heard: ${body.unheard.join(", ")}.`) : null);
}

const started = (span) => span.startMs ?? 0;
const took = (span) => span.spentMs ?? 0;
