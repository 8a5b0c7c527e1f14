// The picture of the cluster, and curves over time: SVG made of elements.

import { h, s, bytes, clock, millis, percent, rate } from "./dom.js";

// Colours that colour-blind people tell apart (Okabe and Ito), each with a dash and a sign of its own.
const DASHES = ["", "6 3", "2 3", "8 3 2 3", "12 4", "4 2 1 2"];
const SIGNS = ["●", "■", "▲", "◆", "✚", "★"];
const look = (at) => ({ class: `series-${at % 6}`, dash: DASHES[at % 6], sign: SIGNS[at % 6] });

export const CURVES = [
  { name: "cpu.usage", title: "CPU", text: percent, least: 0.1 },
  { name: "heap.used", title: "Memory", text: bytes, least: 2 ** 20 },
  { name: "loop.lag_s", title: "Loop lag", text: (value) => millis(value * 1e3), least: 0.005 },
  { name: "calls.rate", title: "Calls per second", text: rate, least: 1 },
  { name: "calls.failure_rate", title: "Failed calls", text: percent, least: 0.01 },
  { name: "calls.p95_s", title: "Latency, p95", text: (value) => millis(value * 1e3), least: 0.001 },
];

const W = 420, H = 150, LEFT = 58, RIGHT = 8, TOP = 8, BOTTOM = 22;

function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

/** One figure of all nodes. nodes: {id: [{timestamp, metrics}]}; spanMs: how far back */
export function plot(curve, nodes, order, until, spanMs) {
  const series = Object.entries(nodes).map(([id, points]) => ({
    id,
    at: Math.max(0, order.indexOf(id)),
    points: points.filter((point) => curve.name in point.metrics && point.timestamp >= until - spanMs).map((point) => [point.timestamp, point.metrics[curve.name]]),
  })).filter((each) => each.points.length > 0);
  if (series.length === 0) return h("figure", { "data-key": curve.name }, h("figcaption", null, h("strong", null, curve.title)), h("p", { class: "quiet" }, "No figures yet."));
  const top = ceiling(Math.max(curve.least, ...series.flatMap((each) => each.points.map((point) => point[1]))));
  const x = (at) => LEFT + (W - LEFT - RIGHT) * (1 - (until - at) / spanMs);
  const y = (value) => TOP + (H - TOP - BOTTOM) * (1 - value / top);
  const gap = Math.max(15_000, spanMs / 60); // a node that told nothing for so long leaves a hole
  const lines = series.map((each) => s("path", { d: path(each.points, x, y, gap), class: `curve ${look(each.at).class}`, "stroke-dasharray": look(each.at).dash }));
  const grid = [0, 0.5, 1].map((share) => [
    s("line", { x1: LEFT, x2: W - RIGHT, y1: y(top * share), y2: y(top * share), class: "grid" }),
    s("text", { x: LEFT - 6, y: y(top * share) + 4, "text-anchor": "end" }, curve.text(top * share)),
  ]);
  const times = [0, 0.5, 1].map((share) => s("text", { x: LEFT + (W - LEFT - RIGHT) * share, y: H - 6, "text-anchor": share === 0 ? "start" : share === 1 ? "end" : "middle" }, clock(until - spanMs * (1 - share)).slice(0, 5)));
  const said = series.map((each) => `${each.id} ${curve.text(each.points.at(-1)[1])} now, ${curve.text(Math.max(...each.points.map((point) => point[1])))} at most`).join("; ");
  const legend = series.map((each) => h("li", { "data-key": each.id, class: look(each.at).class },
    s("svg", { viewBox: "0 0 26 8", width: 26, height: 8, "aria-hidden": "true" }, s("path", { d: "M0 4H26", class: `curve ${look(each.at).class}`, "stroke-dasharray": look(each.at).dash })),
    ` ${each.id} `, h("b", null, curve.text(each.points.at(-1)[1]))));
  return h("figure", { "data-key": curve.name }, h("figcaption", null, h("strong", null, curve.title)),
    s("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${curve.title}: ${said}` }, grid, times, lines), h("ul", { class: "legend" }, legend));
}

function path(points, x, y, gap) {
  let before = -Infinity;
  return points.map(([at, value]) => {
    const step = `${at - before > gap ? "M" : "L"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    before = at;
    return step;
  }).join("");
}

/** Nodes on a ring, and which of them reach each other as far as the answering one knows. */
export function topology(state) {
  const members = state.members;
  const middle = [200, 130], radius = members.length > 1 ? 88 : 0, size = members.length > 16 ? 9 : 20;
  const place = new Map(members.map((member, at) => {
    const angle = (2 * Math.PI * at) / members.length - Math.PI / 2;
    return [member.id, [middle[0] + radius * 1.5 * Math.cos(angle), middle[1] + radius * Math.sin(angle)]];
  }));
  const reached = members.filter((member) => member.reachable).length;
  const full = (id) => (state.load[id]?.["transport.peers"] ?? -1) >= reached - 1;
  const links = [];
  const broken = [];
  members.forEach((one, at) => members.slice(at + 1).forEach((other) => {
    const own = one.id === state.nodeId ? other : other.id === state.nodeId ? one : null;
    const kind = own ? (own.reachable ? "linked" : "broken") : one.reachable && other.reachable ? (full(one.id) && full(other.id) ? "linked" : "unknown") : "";
    if (!kind) return;
    if (kind === "broken") broken.push(own.id);
    const [from, to] = [place.get(one.id), place.get(other.id)];
    links.push(s("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], class: `link ${kind}` }));
  }));
  const shapes = members.map((member) => {
    const [x, y] = place.get(member.id);
    const kind = !member.reachable ? "gone" : member.isLeader ? "leader" : "follower";
    const body = member.voter ? s("circle", { cx: x, cy: y, r: size, class: kind }) : s("rect", { x: x - size, y: y - size, width: 2 * size, height: 2 * size, rx: 4, class: kind });
    const sign = !member.reachable ? "✕" : member.isLeader ? "★" : member.state === "ON_DUTY" ? member.instances : "–";
    const under = y > middle[1] - 1 ? y + size + 18 : y - size - 8;
    return s("g", null, body, s("text", { x, y: y + 6, "text-anchor": "middle", class: `sign ${kind}` }, sign),
      s("text", { x, y: under, "text-anchor": "middle", class: "name" }, member.id, member.id === state.nodeId ? " (this)" : ""));
  });
  const said = `${members.length} members, ${reached} reached from ${state.nodeId}; ${state.leader ? `${state.leader} leads` : "nobody leads"}${broken.length ? `; no connection to ${broken.join(", ")}` : ""}`;
  return [
    s("svg", { viewBox: "0 0 400 250", role: "img", "aria-label": said, class: "topology" }, links, shapes),
    h("p", { class: "quiet" }, "★ leads · ○ votes · ▢ works without a vote · ✕ not reached. The number counts active instances. A line is a connection; a dotted one is not known from here, a broken one is lost."),
  ];
}
