// Fills the page at /docs from openapi.json: a list of the operations, their schemas, and a form to try each. Whatever comes from
// the document or the server is put in as text, never as HTML. Credentials stay in this page's memory.

"use strict";

const methods = ["get", "post", "patch", "put", "delete"];

/** An element with attributes and children; texts become text nodes. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null));
  return element;
}

/** The little of Markdown that descriptions have: paragraphs and `code`. */
function prose(text = "") {
  return text.split(/\n\s*\n/).filter((part) => part.trim() !== "").map((part) => make("p", {}, inline(part)));
}

function inline(text = "") {
  return text.split("`").map((part, index) => (index % 2 === 1 ? make("code", {}, part) : part));
}

class Specification {
  constructor(root) {
    this.root = root;
  }

  /** What a `$ref` stands for, with what stands beside it. */
  resolve(value) {
    let found = value;
    for (let steps = 0; found && found.$ref !== undefined && steps < 20; steps += 1) {
      const { $ref: reference, ...beside } = found;
      const target = reference.slice(2).split("/").reduce(
        (place, name) => place?.[name.replaceAll("~1", "/").replaceAll("~0", "~")], this.root);
      found = { ...target, ...beside };
    }
    return found ?? {};
  }

  /** A schema as one object: references followed, parts of `allOf` put together. */
  schema(value) {
    const found = this.resolve(value === true ? {} : value);
    if (found.allOf === undefined) return found;
    const { allOf, ...own } = found;
    const parts = allOf.map((part) => this.schema(part)).concat(own);
    const whole = Object.assign({}, ...parts);
    whole.properties = Object.assign({}, ...parts.map((part) => part.properties ?? {}));
    if (Object.keys(whole.properties).length === 0) delete whole.properties;
    const required = parts.flatMap((part) => part.required ?? []);
    if (required.length > 0) whole.required = required;
    return whole;
  }

  operations() {
    return Object.entries(this.root.paths).flatMap(([path, item]) => methods
      .filter((method) => item[method] !== undefined)
      .map((method) => ({
        ...item[method],
        method,
        path,
        parameters: [...(item[method].parameters ?? []), ...(item.parameters ?? [])].map((each) => this.resolve(each)),
      })));
  }
}

// Schemas

function typeName(specification, value) {
  const schema = specification.schema(value);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((each) => JSON.stringify(each)).join(" | ");
  const variants = schema.anyOf ?? schema.oneOf;
  if (variants !== undefined && schema.type === undefined) {
    return [...new Set(variants.map((each) => typeName(specification, each)))].join(" | ");
  }
  const types = [schema.type ?? "any JSON"].flat();
  return types.map((type) => {
    if (type === "array" && schema.items !== undefined) return `array of ${typeName(specification, schema.items)}`;
    return schema.format !== undefined && type === "string" ? `${type} (${schema.format})` : type;
  }).join(" | ");
}

function limits(schema) {
  const words = [];
  const range = (least, most, unit) => {
    if (least !== undefined && most !== undefined) words.push(`${least} to ${most}${unit}`);
    else if (least !== undefined) words.push(`at least ${least}${unit}`);
    else if (most !== undefined) words.push(`at most ${most}${unit}`);
  };
  range(schema.minimum, schema.maximum, "");
  if (schema.exclusiveMinimum !== undefined) words.push(`more than ${schema.exclusiveMinimum}`);
  range(schema.minLength, schema.maxLength, " characters");
  range(schema.minItems, schema.maxItems, " entries");
  range(schema.minProperties, schema.maxProperties, " names");
  if (schema.uniqueItems) words.push("no entry twice");
  if (schema.pattern !== undefined && schema.format === undefined) words.push(`matches ${schema.pattern}`);
  if (schema.default !== undefined) words.push(`default ${JSON.stringify(schema.default)}`);
  return words.join(", ");
}

/** The objects inside a schema: in itself, in its entries, in its variants. */
function objectsIn(specification, value) {
  const schema = specification.schema(value);
  if (schema.properties !== undefined) return [schema];
  if (schema.items !== undefined) return objectsIn(specification, schema.items);
  if (typeof schema.additionalProperties === "object") return objectsIn(specification, schema.additionalProperties);
  return (schema.anyOf ?? schema.oneOf ?? []).flatMap((each) => objectsIn(specification, each));
}

function schemaList(specification, value) {
  const objects = objectsIn(specification, value);
  if (objects.length === 0) {
    const schema = specification.schema(value);
    return make("p", {}, make("code", {}, typeName(specification, value)), ` ${limits(schema)} `, inline(schema.description));
  }
  return make("div", {}, objects.map((schema) => make("ul", { class: "schema" },
    Object.entries(schema.properties).map(([name, property]) => {
      const inner = specification.schema(property);
      const line = make("li", {},
        make("code", {}, make("strong", {}, name)), " ",
        make("code", { class: "faint" }, typeName(specification, property)), " ",
        schema.required?.includes(name) ? make("span", { class: "required" }, "required ") : undefined,
        make("span", { class: "faint" }, limits(inner)),
        inner.description === undefined ? undefined : make("p", {}, inline(inner.description)));
      if (objectsIn(specification, property).length > 0) {
        line.append(lazily(`inside ${name}`, () => schemaList(specification, property)));
      }
      return line;
    }))));
}

/** What is made only when somebody opens it: schemas may hold themselves. */
function lazily(title, body) {
  const details = make("details", {}, make("summary", {}, title));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(body());
  });
  return details;
}

// An operation

function firstExample(specification, operation) {
  const content = operation.requestBody?.content?.["application/json"];
  const examples = Object.values(content?.examples ?? {});
  if (examples.length > 0) return examples[0].value;
  return content === undefined ? undefined : {};
}

function parameterExample(specification, parameter) {
  const schema = specification.schema(parameter.schema);
  return String(parameter.example ?? schema.example ?? (schema.enum ?? [""])[0]);
}

/** The request that a form stands for. */
function requestOf(operation, form) {
  let path = operation.path;
  const query = new URLSearchParams();
  const headers = {};
  for (const parameter of operation.parameters) {
    const value = form.values.get(parameter).value;
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value !== "" && parameter.in === "query") query.append(parameter.name, value);
    else if (value !== "") headers[parameter.name] = value;
  }
  const request = { method: operation.method.toUpperCase(), headers };
  if (form.body !== undefined && form.body.value.trim() !== "") {
    request.body = form.body.value;
    headers["Content-Type"] = "application/json";
  }
  const search = query.size > 0 ? `?${query}` : "";
  return { url: new URL(path.slice(1) + search, new URL(".", document.baseURI)), request };
}

function shellQuoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function curl({ url, request }, isOpen) {
  const lines = [`curl ${request.method === "GET" ? "" : `-X ${request.method} `}${shellQuoted(url.href)}`];
  if (!isOpen && credential() !== "") lines.push("-H \"Authorization: Bearer $MARTLET_TOKEN\"");
  for (const [name, value] of Object.entries(request.headers)) lines.push(`-H ${shellQuoted(`${name}: ${value}`)}`);
  if (request.body !== undefined) lines.push(`--data-raw ${shellQuoted(request.body)}`);
  return lines.join(" \\\n  ");
}

function credential() {
  return document.getElementById("credential").value.trim();
}

function tryIt(specification, operation) {
  const isOpen = operation["x-martlet-right"] === "open";
  const form = { values: new Map() };
  const fields = operation.parameters.map((parameter) => {
    const input = make("input", {
      type: "text", autocomplete: "off", spellcheck: "false", required: parameter.required,
      value: parameter.in === "path" ? parameterExample(specification, parameter) : "",
    });
    form.values.set(parameter, input);
    return make("label", { class: "parameter" }, `${parameter.name} (${parameter.in}${parameter.required ? ", required" : ""})`,
      input);
  });
  const parts = [make("div", { class: "parameters" }, fields)];
  const example = firstExample(specification, operation);
  if (example !== undefined) {
    const text = JSON.stringify(example, null, 2);
    form.body = make("textarea", { rows: Math.min(24, text.split("\n").length + 1), spellcheck: "false" });
    form.body.value = operation.requestBody.required ? text : "";
    const examples = operation.requestBody.content["application/json"].examples ?? {};
    if (Object.keys(examples).length > 1) {
      const select = make("select", {}, Object.entries(examples).map(([name, each]) => make("option", { value: name }, each.summary)));
      select.addEventListener("change", () => {
        form.body.value = JSON.stringify(examples[select.value].value, null, 2);
        form.body.rows = Math.min(24, form.body.value.split("\n").length + 1);
        show();
      });
      parts.push(make("label", {}, "Example", select));
    }
    parts.push(make("label", {}, "Body", form.body));
  }
  const command = make("pre", { tabindex: "0", "aria-label": "The request as a curl command" });
  const send = make("button", { type: "submit" }, "Send");
  const result = make("div", { role: "status" });
  const element = make("form", { class: "form" }, parts, make("div", {}, make("p", { class: "faint" }, "With curl:"), command),
    make("div", {}, send), result);
  const show = () => { command.textContent = curl(requestOf(operation, form), isOpen); };
  element.addEventListener("input", show);
  document.getElementById("credential").addEventListener("input", show);
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    result.replaceChildren("Waiting for the answer…");
    result.replaceChildren(...(await answerTo(requestOf(operation, form), isOpen)));
    send.disabled = false;
  });
  show();
  return element;
}

async function answerTo({ url, request }, isOpen) {
  const headers = { ...request.headers };
  if (!isOpen && credential() !== "") headers.Authorization = `Bearer ${credential()}`;
  try {
    const response = await fetch(url, { ...request, headers, credentials: "omit", cache: "no-store", redirect: "manual" });
    const text = await response.text();
    if (response.type === "opaqueredirect") return [make("p", {}, "The answer leads elsewhere; see its status with curl.")];
    const fields = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    return [
      make("p", { class: response.ok ? "good" : "bad" }, `${response.status} ${response.statusText}`),
      lazily("Headers", () => make("pre", { tabindex: "0" }, fields)),
      make("pre", { tabindex: "0", "aria-label": "The answer's body" }, text === "" ? "(no body)" : indented(text)),
    ];
  } catch (error) {
    return [make("p", { class: "bad" }, `No answer: ${error.message}`)];
  }
}

/** JSON with line breaks, each value as it came: numbers are not rounded, names not sorted. */
function indented(text) {
  if (!/^\s*[[{]/.test(text) || text.length > 1_000_000) return text;
  let result = "";
  let depth = 0;
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[[\]{}:,]|[^\s[\]{}:,"]+/g) ?? [];
  tokens.forEach((token, index) => {
    const next = tokens[index + 1];
    if (token === "{" || token === "[") {
      const isEmpty = next === "}" || next === "]";
      depth += 1;
      result += token + (isEmpty ? "" : `\n${"  ".repeat(depth)}`);
    } else if (token === "}" || token === "]") {
      depth -= 1;
      const wasEmpty = tokens[index - 1] === "{" || tokens[index - 1] === "[";
      result += (wasEmpty ? "" : `\n${"  ".repeat(depth)}`) + token;
    } else if (token === ",") {
      result += `,\n${"  ".repeat(depth)}`;
    } else {
      result += token === ":" ? ": " : token;
    }
  });
  return result;
}

function answers(specification, operation) {
  return Object.entries(operation.responses).map(([status, value]) => {
    const response = specification.resolve(value);
    const codes = response["x-martlet-codes"] ?? [];
    const line = make("div", { class: "answer" },
      make("code", { class: status < 400 ? "good" : "bad" }, status), " ", inline(response.description), " ",
      codes.map((code) => [make("code", {}, code), " "]));
    for (const [type, content] of Object.entries(response.content ?? {})) {
      if (type !== "application/problem+json" && objectsIn(specification, content.schema).length > 0) {
        line.append(lazily(type, () => schemaList(specification, content.schema)));
      }
    }
    return line;
  });
}

function operationBody(specification, operation) {
  const roles = operation["x-martlet-roles"];
  const body = operation.requestBody?.content?.["application/json"]?.schema;
  return make("div", {},
    prose(operation.description),
    make("p", { class: "faint" }, roles === undefined ? "Open to everybody." : `With authentication for: ${roles.join(", ")}.`),
    operation.parameters.length === 0 ? undefined : [
      make("h3", {}, "Parameters"),
      make("ul", { class: "schema" }, operation.parameters.map((parameter) => make("li", {},
        make("code", {}, make("strong", {}, parameter.name)), " ",
        make("code", { class: "faint" }, `${parameter.in}, ${typeName(specification, parameter.schema)}`), " ",
        parameter.required ? make("span", { class: "required" }, "required ") : undefined,
        make("span", { class: "faint" }, limits(specification.schema(parameter.schema))),
        make("p", {}, inline(parameter.description))))),
    ],
    body === undefined ? undefined : [make("h3", {}, "Body"), schemaList(specification, body)],
    make("h3", {}, "Answers"), answers(specification, operation),
    make("h3", {}, "Try it"), tryIt(specification, operation));
}

// The page

function operationElement(specification, operation) {
  const details = make("details", { class: "operation", id: operation.operationId },
    make("summary", {},
      make("span", { class: `method ${operation.method}` }, operation.method.toUpperCase()),
      make("span", { class: "path" }, operation.path),
      make("span", {}, operation.summary)));
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(operationBody(specification, operation));
  });
  return details;
}

function build(specification) {
  const operations = specification.operations();
  const main = document.getElementById("content");
  const contents = document.getElementById("contents");
  main.replaceChildren(...prose(specification.root.info.description),
    make("p", {}, "For programs: ", make("a", { href: "openapi.json" }, "openapi.json"), "."));
  const groups = specification.root.tags.map((tag) => {
    const own = operations.filter((operation) => operation.tags.includes(tag.name));
    const entries = own.map((operation) => ({
      text: [operation.operationId, operation.method, operation.path, operation.summary, operation.description,
        operation["x-martlet-right"]].join(" ").toLowerCase(),
      section: operationElement(specification, operation),
      link: make("li", {}, make("a", { href: `#${operation.operationId}` }, operation.summary)),
    }));
    const section = make("section", {}, make("h2", {}, tag.name), make("p", { class: "faint" }, inline(tag.description)),
      entries.map((entry) => entry.section));
    const list = make("div", {}, make("h2", {}, tag.name), make("ul", {}, entries.map((entry) => entry.link)));
    return { entries, section, list };
  }).filter((group) => group.entries.length > 0);
  main.append(...groups.map((group) => group.section));
  contents.replaceChildren(...groups.map((group) => group.list));
  return groups;
}

function filter(groups, text) {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word !== "");
  let found = 0;
  for (const group of groups) {
    let inGroup = 0;
    for (const entry of group.entries) {
      const matches = words.every((word) => entry.text.includes(word));
      entry.section.hidden = !matches;
      entry.link.hidden = !matches;
      if (matches) inGroup += 1;
    }
    group.section.hidden = inGroup === 0;
    group.list.hidden = inGroup === 0;
    found += inGroup;
  }
  document.getElementById("found").textContent = words.length === 0 ? "" : `${found} found`;
}

/** Opens the operation that the address names. */
function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named === null || !named.matches("details.operation")) return;
  named.open = true;
  named.scrollIntoView();
  named.querySelector("summary").focus({ preventScroll: true });
}

function setTheme(isDark) {
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  document.getElementById("theme").setAttribute("aria-pressed", String(isDark));
}

async function start() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  setTheme(dark.matches);
  dark.addEventListener("change", () => setTheme(dark.matches));
  document.getElementById("theme").addEventListener("click", () => {
    setTheme(document.documentElement.dataset.theme !== "dark");
  });
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`openapi.json was answered with ${response.status}`);
  const groups = build(new Specification(await response.json()));
  const search = document.getElementById("search");
  search.addEventListener("input", () => filter(groups, search.value));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, textarea, select")) return;
    event.preventDefault();
    search.focus();
  });
  addEventListener("hashchange", openNamed);
  openNamed();
}

start().catch((error) => {
  document.getElementById("content").replaceChildren(make("p", { class: "bad" }, `The page could not be made: ${error.message}`));
});
