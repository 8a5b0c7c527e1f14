// The API page: reads /openapi.json and lets every operation be tried. Texts are set as text, never as markup.

const ANSWER_CHARS_MAX = 200_000;
const DEPTH_MAX = 6;
let api = {};

const $ = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-") || name === "for" || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function resolve(schema) {
  let found = schema ?? {};
  for (let hops = 0; found.$ref && hops < 20; hops += 1) {
    const path = found.$ref.replace(/^#\//, "").split("/");
    found = path.reduce((part, key) => (part ?? {})[key.replaceAll("~1", "/").replaceAll("~0", "~")], api) ?? {};
  }
  return found;
}

const nameOf = (schema) => (schema?.$ref ? schema.$ref.split("/").pop() : "");

// A type in words: integer, Line[], string or null.
function typeOf(schema, depth = 0) {
  if (!schema || depth > DEPTH_MAX) return "any";
  if (schema.$ref) return nameOf(schema);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  const members = schema.anyOf ?? schema.oneOf;
  if (members) return members.map((member) => typeOf(member, depth + 1)).join(" or ");
  if (schema.type === "array") return schema.items ? `${typeOf(schema.items, depth + 1)}[]` : "array";
  if (schema.additionalProperties) return `{…: ${typeOf(schema.additionalProperties, depth + 1)}}`;
  return `${schema.type ?? "any"}${schema.format ? ` (${schema.format})` : ""}`;
}

const FORMATS = {
  "date-time": "2026-01-31T12:00:00+00:00", date: "2026-01-31", time: "12:00:00", duration: "PT1H",
  uuid: "00000000-0000-4000-8000-000000000000", decimal: "9.90",
};

// A value that fits a schema, to begin with.
function example(schema, depth = 0) {
  const found = resolve(schema);
  if (schema?.default !== undefined) return schema.default;
  if (found.default !== undefined) return found.default;
  if (found.const !== undefined) return found.const;
  if (found.enum) return found.enum[0];
  if (depth > DEPTH_MAX) return null;
  const members = found.anyOf ?? found.oneOf;
  if (members) return example(members[0], depth + 1);
  if (found.allOf) return Object.assign({}, ...found.allOf.map((part) => example(part, depth + 1)));
  if (found.type === "object" || found.properties) {
    const fields = Object.entries(found.properties ?? {});
    return Object.fromEntries(fields.map(([name, field]) => [name, example(field, depth + 1)]));
  }
  if (found.type === "array") {
    return found.prefixItems ? found.prefixItems.map((item) => example(item, depth + 1)) : [example(found.items, depth + 1)];
  }
  if (found.type === "integer" || found.type === "number") return Math.max(0, found.minimum ?? 0);
  if (found.type === "boolean") return false;
  if (found.type === "null") return null;
  return FORMATS[found.format] ?? (found.type === "string" ? "" : null);
}

function shape(schema, seen = new Set()) {
  const name = nameOf(schema);
  if (!name || seen.has(name)) return [];
  seen.add(name);
  const found = resolve(schema);
  const fields = Object.entries(found.properties ?? {});
  const rows = fields.map(([field, inner]) =>
    make("tr", {}, make("td", {}, make("code", { textContent: field })),
      make("td", { textContent: typeOf(inner) + ((found.required ?? []).includes(field) ? "" : ", optional") })));
  const own = rows.length
    ? [make("h3", { textContent: name }), found.description ? make("p", { textContent: found.description }) : null,
       make("table", {}, make("tbody", {}, ...rows))]
    : [];
  const inner = [...fields.map(([, field]) => field), found.items, ...(found.anyOf ?? [])].filter(Boolean);
  const below = inner.flatMap((field) => shape(field.items ?? field, seen));
  return [...own, ...below];
}

function responses(operation) {
  const rows = Object.entries(operation.responses).map(([status, given]) => {
    const response = resolve(given);
    const types = Object.entries(response.content ?? {}).map(([media, { schema }]) => `${media}: ${typeOf(schema)}`);
    return make("tr", {}, make("td", {}, make("code", { textContent: status })),
      make("td", { textContent: response.description }), make("td", { textContent: types.join("; ") }));
  });
  return make("table", {}, make("tbody", {}, ...rows));
}

function parameterRow(id, parameter, inputs) {
  const schema = resolve(parameter.schema);
  const options = schema.enum ?? (schema.type === "boolean" ? [true, false] : null);
  let input;
  if (options) {
    input = make("select", { id, required: parameter.required },
      ...(parameter.required ? [] : [make("option", { value: "", textContent: "" })]),
      ...options.map((value) => make("option", { value: String(value), textContent: String(value) })));
  } else {
    input = make("input", { id, required: parameter.required, autocomplete: "off",
      placeholder: schema.default === undefined ? "" : String(schema.default) });
  }
  inputs.push([parameter, input]);
  return make("tr", {},
    make("td", {}, make("label", { htmlFor: id }, make("code", { textContent: parameter.name }))),
    make("td", { textContent: `${parameter.in}, ${typeOf(parameter.schema)}${parameter.required ? "" : ", optional"}` }),
    make("td", {}, input));
}

function requestFor(verb, template, inputs, body, media) {
  const headers = {};
  const query = new URLSearchParams();
  let path = template;
  for (const [parameter, input] of inputs) {
    const value = input.value;
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value === "") continue;
    else if (parameter.in === "query") {
      const many = resolve(parameter.schema).type === "array";
      for (const one of many ? value.split(",") : [value]) query.append(parameter.name, one.trim());
    } else if (parameter.in === "header") headers[parameter.name] = value;
  }
  if ($("token").value) headers.Authorization = `Bearer ${$("token").value}`;
  if (body && body.value !== "") headers["Content-Type"] = media;
  const text = query.toString();
  return [path + (text ? `?${text}` : ""), {
    method: verb.toUpperCase(), headers, body: body && body.value !== "" ? body.value : undefined, cache: "no-store",
  }];
}

async function send(verb, template, inputs, body, media, out) {
  const [url, options] = requestFor(verb, template, inputs, body, media);
  out.hidden = false;
  out.replaceChildren(make("p", { textContent: `${options.method} ${url} …` }));
  const began = performance.now();
  try {
    const answer = await fetch(url, options);
    const kind = answer.headers.get("Content-Type") ?? "";
    let text = (await answer.text()).slice(0, ANSWER_CHARS_MAX);
    if (/json\b/.test(kind) && !/ndjson/.test(kind)) {
      try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it came */ }
    }
    const took = Math.round(performance.now() - began);
    const fields = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    out.replaceChildren(
      make("p", {}, make("strong", { textContent: `${answer.status} ${answer.statusText}` }), ` in ${took} ms, ${options.method} ${url}`),
      make("pre", { textContent: text || "(no body)", tabIndex: 0, className: "answer" }),
      make("details", {}, make("summary", { textContent: "Headers" }), make("pre", { textContent: fields })));
  } catch (error) {
    out.replaceChildren(make("p", { textContent: `The request failed: ${error.message}` }));
  }
}

function operationOf(template, verb, operation, number) {
  const inputs = [];
  const parameters = (operation.parameters ?? []).map(resolve).filter((parameter) => parameter.in !== "cookie");
  const rows = parameters.map((parameter, at) => parameterRow(`p${number}-${at}`, parameter, inputs));
  const content = Object.entries(operation.requestBody?.content ?? {});
  const [media, shown] = content.find(([kind]) => /json/.test(kind)) ?? content[0] ?? ["", {}];
  let body = null;
  if (media) {
    const value = /json/.test(media) ? JSON.stringify(example(shown.schema), null, 2) : "";
    body = make("textarea", { id: `b${number}`, textContent: value, spellcheck: false, required: operation.requestBody.required });
  }
  const out = make("div", { role: "status", "aria-live": "polite", hidden: true });
  const form = make("form", {},
    rows.length ? make("h3", { textContent: "Parameters" }) : null,
    rows.length ? make("table", {}, make("tbody", {}, ...rows)) : null,
    body ? make("h3", {}, make("label", { htmlFor: body.id, textContent: `Body, ${media}` })) : null,
    body,
    make("p", {}, make("button", { textContent: "Send" }), " ", make("small", { textContent: "or Ctrl+Enter" })));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(verb, template, inputs, body, media, out);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  const details = make("details", { className: "operation", id: operation.operationId },
    make("summary", {},
      make("span", { className: `verb ${verb}`, textContent: verb.toUpperCase() }),
      make("span", { className: "path", textContent: template }),
      make("span", { className: "summary", textContent: operation.summary ?? "" })),
    make("div", {},
      operation.description ? make("p", { textContent: operation.description }) : null,
      make("p", { className: "quiet" }, make("code", { textContent: operation.operationId }), ` of ${operation["x-aether-artifact"] ?? ""}`),
      form, out,
      make("h3", { textContent: "Answers" }), responses(operation),
      ...(media ? shape(resolve(shown.schema).items ?? shown.schema) : [])));
  details.dataset.text = `${verb} ${template} ${operation.operationId} ${operation.summary ?? ""}`.toLowerCase();
  return details;
}

function show() {
  const main = $("operations");
  const groups = new Map((api.tags ?? []).map((tag) => [tag.name, { tag, operations: [] }]));
  let number = 0;
  for (const [template, item] of Object.entries(api.paths)) {
    for (const [verb, operation] of Object.entries(item)) {
      if (!operation.operationId) continue;
      number += 1;
      groups.get(operation.tags[0]).operations.push(operationOf(template, verb, operation, number));
    }
  }
  const sections = [...groups.values()].filter((group) => group.operations.length).map(({ tag, operations }) =>
    make("section", { "aria-label": tag.name }, make("h2", { textContent: tag.name }),
      make("p", { className: "quiet", textContent: tag.description ?? "" }), ...operations));
  main.replaceChildren(...sections);
  $("title").textContent = document.title = api.info.title;
  count();
}

function count() {
  const all = [...document.querySelectorAll("details.operation")];
  const left = all.filter((one) => !one.hidden).length;
  $("state").textContent = all.length === 0 ? "No slice has a route yet." : left === all.length ? `${left} operations` : `${left} of ${all.length} operations`;
}

function filter() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const one of document.querySelectorAll("details.operation")) {
    one.hidden = !words.every((word) => one.dataset.text.includes(word));
  }
  for (const section of document.querySelectorAll("main > section")) {
    section.hidden = !section.querySelector("details.operation:not([hidden])");
  }
  count();
}

$("settings").addEventListener("submit", (event) => event.preventDefault());
$("filter").addEventListener("input", filter);
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key === "/" && !typing) { event.preventDefault(); $("filter").focus(); }
  if (event.key === "Escape" && event.target === $("filter")) { $("filter").value = ""; filter(); }
});

try {
  const answer = await fetch("/openapi.json", { cache: "no-cache" });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  api = await answer.json();
  show();
  const wanted = location.hash.slice(1) && $(decodeURIComponent(location.hash.slice(1)));
  if (wanted) { wanted.open = true; wanted.scrollIntoView(); }
} catch (error) {
  $("state").textContent = `The document could not be read: ${error.message}`;
}
