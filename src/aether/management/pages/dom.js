// Elements made of texts, and a way to bring what is on the page to what it should be without losing the focus.

const SVG = "http://www.w3.org/2000/svg";

function made(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

export const h = (tag, attributes, ...children) => made(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => made(document.createElementNS(SVG, tag), attributes, children);
export const by = (id) => document.getElementById(id);

/** Make the children of `place` equal to `wanted`, touching as little as possible. */
export function show(place, ...wanted) {
  const holder = document.createDocumentFragment();
  made(holder, null, wanted);
  patchChildren(place, holder);
}

function patchChildren(old, next) {
  const kept = new Map();
  for (const child of old.childNodes) if (child.dataset?.key) kept.set(child.dataset.key, child);
  let at = old.firstChild;
  for (const child of [...next.childNodes]) {
    const key = child.dataset?.key;
    const match = key ? kept.get(key) : at && !at.dataset?.key && same(at, child) ? at : null;
    if (match && same(match, child)) {
      if (match !== at) old.insertBefore(match, at);
      else at = at.nextSibling;
      patch(match, child);
    } else {
      old.insertBefore(child, at);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

const same = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName;

function patch(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  for (const { name, value } of [...next.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  patchChildren(old, next);
}

// --- pieces -------------------------------------------------------------------------------------------------------------

const SHAPES = { good: "●", wait: "◐", idle: "○", warn: "▲", bad: "■" };

/** A word with a shape: nothing is said by colour alone. */
export const mark = (kind, word) => h("span", { class: `mark ${kind}` }, h("span", { "aria-hidden": "true" }, SHAPES[kind]), " ", word);

/** A table that scrolls by itself where the screen is narrow. columns: {head, number?}; rows: {key, cells} */
export function table(label, columns, rows, nothing) {
  if (rows.length === 0) return h("p", { class: "quiet" }, nothing);
  const heads = columns.map((column) => h("th", { scope: "col", class: column.number ? "number" : null }, column.head));
  const lines = rows.map(({ key, cells }) =>
    h("tr", { "data-key": key }, cells.map((cell, at) =>
      at === 0 ? h("th", { scope: "row" }, cell) : h("td", { class: columns[at].number ? "number" : null }, cell))));
  return h("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" },
    h("table", null, h("thead", null, h("tr", null, heads)), h("tbody", null, lines)));
}

/** How much of 1 it is, as a bar with the number beside it. */
export function gauge(share, text, label) {
  const width = Math.max(0, Math.min(1, share || 0)) * 44;
  const kind = share >= 0.9 ? "bad" : share >= 0.75 ? "warn" : "good";
  return h("span", { class: "gauge" },
    s("svg", { viewBox: "0 0 44 8", width: 44, height: 8, "aria-hidden": "true", class: kind },
      s("rect", { width: 44, height: 8, rx: 2, class: "ground" }), s("rect", { width, height: 8, rx: 2, class: "fill" })),
    h("span", { title: label }, text, kind === "good" ? null : h("span", { class: `mark ${kind}`, title: kind === "bad" ? "very high" : "high" }, ` ${SHAPES[kind]}`)));
}

// --- numbers ------------------------------------------------------------------------------------------------------------

export const percent = (share) => (share === undefined ? "–" : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`);
export const count = (value) => (value === undefined ? "–" : Math.round(value).toLocaleString("en"));
export const rate = (value) => (value === undefined ? "–" : value >= 100 ? count(value) : value.toFixed(1));
export const millis = (ms) => (ms === undefined ? "–" : ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : ms >= 100 ? `${ms.toFixed(0)} ms` : ms >= 1 ? `${ms.toFixed(1)} ms` : `${ms.toFixed(2)} ms`);
export const bytes = (value) => (value === undefined ? "–" : value >= 2 ** 30 ? `${(value / 2 ** 30).toFixed(1)} GiB` : `${(value / 2 ** 20).toFixed(0)} MiB`);
export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");
export function span(seconds) {
  if (!(seconds >= 0)) return "–";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}
