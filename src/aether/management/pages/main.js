// The page: it keeps the newest state, and draws what changed of it.

import { Events, Socket, ask, setToken, token } from "./api.js";
import { explain, trace } from "./asked.js";
import { by, h, mark, show } from "./dom.js";
import * as panels from "./panels.js";
import { CURVES, plot, topology } from "./plots.js";

const SPANS_MS = { "5m": 300e3, "15m": 900e3, "1h": 3600e3, "2h": 7200e3 };
const EVENTS_MAX = 200;
const HISTORY_EVERY_MS = 5000;

let data = null; // the newest state and figures
let past = null;
let events = [];
let range = "5m";

// --- drawing --------------------------------------------------------------------------------------------------------------

function draw(changed) {
  show(by("summary"), panels.summary(data));
  show(by("nodes-in"), panels.nodes(data));
  show(by("calls-in"), panels.calls(data));
  show(by("alerts-in"), panels.alerts(data));
  show(by("topology-in"), topology(data));
  if (changed) {
    show(by("slices-in"), panels.slices(data));
    show(by("updates-in"), panels.updates(data));
    show(by("routes-in"), panels.routes(data));
    show(by("thresholds-in"), panels.thresholds(data));
    document.title = `aether: ${data.leader || "no leader"}`;
  }
  if (by("metrics").childElementCount === 0) {
    const names = new Set(Object.values(data.load).flatMap((load) => Object.keys(load)));
    show(by("metrics"), [...names].sort().map((name) => h("option", { value: name })));
  }
}

function drawHistory() {
  if (past === null) return;
  const order = Object.keys(past.nodes).sort();
  show(by("history-in"), CURVES.map((curve) => plot(curve, past.nodes, order, past.timestamp, SPANS_MS[past.timeRange])));
}

const drawEvents = () => show(by("events-in"), panels.events(events, by("severity").value));

// --- what comes -----------------------------------------------------------------------------------------------------------

function take(message) {
  switch (message.type) {
    case "INITIAL_STATE":
      data = message.data;
      draw(true);
      socket.send({ type: "GET_HISTORY", timeRange: range });
      break;
    case "METRICS_UPDATE":
      if (data === null) break;
      data = { ...data, ...message.data };
      draw("slices" in message.data);
      break;
    case "HISTORY":
      if (message.timeRange !== range) break;
      past = message;
      drawHistory();
      break;
    case "THRESHOLD_SET":
      show(by("threshold-said"), mark("good", `The threshold of ${message.data.metric} is set.`));
      break;
    case "PROBLEM":
      show(by("threshold-said"), mark("bad", [message.data.detail, ...(message.data.problems ?? [])].join(" ")));
      break;
  }
}

const WORDS = { live: () => mark("good", "live"), lost: () => mark("warn", "connection lost, trying again"), stranger: () => mark("bad", "a token is needed") };
let connection = "";

function connected(state) {
  if (state === connection) return;
  connection = state;
  document.body.dataset.connection = state;
  show(by("connection"), WORDS[state]());
  if (state === "stranger") signIn();
  if (state === "live") stream.run();
}

const stream = new Events((found, anew) => {
  const known = new Set(anew ? [] : events.map((event) => event.id));
  const fresh = found.filter((event) => !known.has(event.id)).reverse();
  events = [...fresh, ...(anew ? [] : events)].slice(0, EVENTS_MAX);
  drawEvents();
});

async function refresh() {
  if (document.visibilityState === "visible" && connection === "live") {
    socket.send({ type: "GET_HISTORY", timeRange: range });
    const { status, body } = await ask("/invocation-metrics/slow");
    if (status === 200) show(by("slow-in"), panels.slow(body.slowInvocations));
  }
  setTimeout(refresh, HISTORY_EVERY_MS);
}

// --- what people do -------------------------------------------------------------------------------------------------------

function signIn() {
  const dialog = by("login");
  if (!dialog.open) dialog.showModal();
}

by("sign-in").addEventListener("click", signIn);
by("login-cancel").addEventListener("click", () => by("login").close());
by("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = event.target.elements.token;
  setToken(field.value.trim());
  field.value = "";
  by("login").close();
  connection = "";
  socket.open();
});

by("threshold").addEventListener("submit", (event) => {
  event.preventDefault();
  const { metric, warning, critical } = event.target.elements;
  const sent = socket.send({ type: "SET_THRESHOLD", metric: metric.value.trim(), warning: Number(warning.value), critical: Number(critical.value) });
  show(by("threshold-said"), sent ? "Asking …" : mark("warn", "There is no connection now."));
});

by("trace-form").addEventListener("submit", (event) => {
  event.preventDefault();
  trace(event.target.elements.request.value.trim(), by("trace-in"));
});

by("ranges").addEventListener("click", (event) => {
  const chosen = event.target.dataset.range;
  if (!chosen) return;
  range = chosen;
  for (const button of by("ranges").children) button.setAttribute("aria-pressed", String(button.dataset.range === range));
  socket.send({ type: "GET_HISTORY", timeRange: range });
});

by("why-close").addEventListener("click", () => by("why").close());
by("severity").addEventListener("change", drawEvents);
document.addEventListener("click", (event) => {
  const target = event.target.closest?.("[data-why], [data-trace], [data-threshold]");
  if (!target) return;
  if (target.dataset.why) {
    by("why").showModal();
    explain(target.dataset.why, by("why-in"));
  } else if (target.dataset.trace) {
    by("trace-form").elements.request.value = target.dataset.trace;
    by("trace").scrollIntoView();
    trace(target.dataset.trace, by("trace-in"));
  } else {
    const { metric, warning, critical } = by("threshold").elements;
    const known = data.thresholds[target.dataset.threshold];
    [metric.value, warning.value, critical.value] = [target.dataset.threshold, known.warning, known.critical];
    warning.focus();
  }
});

// --- theme ----------------------------------------------------------------------------------------------------------------

function theme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}
by("theme").value = localStorage.getItem("aether.theme") ?? "auto";
theme(by("theme").value);
by("theme").addEventListener("change", (event) => {
  localStorage.setItem("aether.theme", event.target.value);
  theme(event.target.value);
});

const socket = new Socket("/ws/dashboard", take, connected);
refresh();
