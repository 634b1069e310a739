// Every request the page makes, and the one shape in which the rest of the page meets the answers.

import { events } from "./sse.js";
import { recallKey } from "./storage.js";

/** An answer that is no success; `kind` names the sentence a reader gets. */
export class ApiError extends Error {
  constructor(kind, message = "", { status = 0, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { kind, status, retryAfter });
  }
}

const KINDS = {
  invalid_api_key: "key", context_length_exceeded: "long", body_too_large: "long", queue_full: "busy", queue_timeout: "busy",
  shutting_down: "leaving", reading_off: "reading_off", host_not_allowed: "foreign", origin_not_allowed: "foreign",
};

const kindOf = (error, otherwise) => KINDS[error?.code] ?? otherwise;

const refused = async (answer) => {
  const body = await answer.json().catch(() => ({}));
  const kind = kindOf(body.error, answer.status === 404 ? "absent" : answer.status < 500 ? "wrong" : "server");
  const wait = Number(answer.headers.get("Retry-After")) || null;
  return new ApiError(kind, body.error?.message ?? "", { status: answer.status, retryAfter: wait });
};

const send = async (path, body, signal) => {
  const key = recallKey();
  const headers = { ...(body && { "Content-Type": "application/json" }), ...(key && { Authorization: `Bearer ${key}` }) };
  let answer;
  try {
    answer = await fetch(path, { method: body ? "POST" : "GET", headers, signal, ...(body && { body: JSON.stringify(body) }) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("unreachable", error.message);
  }
  if (!answer.ok) throw await refused(answer);
  return answer;
};

const json = async (path, body, signal) => (await send(path, body, signal)).json();

const kept = new Map();

/** Ask once; a failure is not kept. */
const once = (path) => {
  if (!kept.has(path)) {
    const asked = json(path);
    kept.set(path, asked);
    asked.catch(() => kept.delete(path));
  }
  return kept.get(path);
};

/** Forget what was asked, after the key has changed. */
export const forget = () => kept.clear();

/** The model that is served: `{id, name, context, limits, ...}`. */
export const model = async () => (await once("v1/models")).data[0];
export const emotions = async () => (await once("v1/emotions")).data;
export const resolve = async (tone, signal) => (await json("v1/emotions/resolve", tone, signal)).steering;
export const read = async (text, features, signal) => {
  const { data, ...about } = await json("v1/read", { input: text, features }, signal);
  return { ...about, ...data[0] };
};
export const judge = async (text, messages, language, signal) =>
  (await json("v1/judge", { input: text, messages, language }, signal)).data[0];

/** The finished runs, `{data, others, unreadable}`; `others` have no emotion space (runs of steering alone). */
export const runs = async () => {
  const { data, unreadable = [] } = await json("v1/runs");
  const spatial = ({ tables }) => tables.some((name) => /^(circumplex|rdm_[a-z]{2,3})$/.test(name));
  return { data: data.filter(spatial), others: data.filter((listed) => !spatial(listed)), unreadable };
};
export const run = (id) => once(`v1/runs/${encodeURIComponent(id)}`);

const queryOf = (fields) => new URLSearchParams(Object.entries(fields).flatMap(([name, value]) => [value].flat().filter((item) => item !== null).map((item) => [name, item])));

/** The figures of a part of the report, `{data, missing}`; `fields` are `language`, `layer`, `categories`, `people`. */
export const figures = (id, part, fields) => once(`v1/runs/${encodeURIComponent(id)}/figures?${queryOf({ part, ...fields })}`);

/** A comparison; without `compute` what the runs' records hold, which is there at once. */
export const compare = (ids, compute) => once(`v1/compare?${queryOf({ run: ids, compute })}`);
export const compareFigures = (ids, compute) => once(`v1/compare/figures?${queryOf({ run: ids, compute })}`);

/** Return a run's table as `{rows, total}`, rows as objects; `query` filters and pages. */
export const table = async (id, name, query = {}) => {
  const path = `v1/runs/${encodeURIComponent(id)}/tables/${encodeURIComponent(name)}?${queryOf(query)}`;
  const { columns, rows, total } = await once(path);
  return { total, rows: rows.map((row) => Object.fromEntries(columns.map((column, at) => [column, row[at]]))) };
};

/** Stream a chat completion: `onText` gets each piece and its shift (null without guidance); what the server says of the whole is returned. */
export const chat = async (request, { signal, onText }) => {
  const answer = await send("v1/chat/completions", { ...request, stream: true, stream_options: { include_usage: true } }, signal);
  const about = { finish: null, usage: null, steering: null };
  for await (const data of events(answer.body)) {
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ApiError(kindOf(chunk.error, "server"), chunk.error.message);
    const choice = chunk.choices?.[0];
    if (choice?.delta?.content) onText(choice.delta.content, choice.shift ?? null);
    about.finish = choice?.finish_reason ?? about.finish;
    about.usage = chunk.usage ?? about.usage;
    about.steering = chunk.steering ?? about.steering;
  }
  return about;
};
