// Read: what the model finds in a text, token by token.

import { write } from "../address.js";
import { read } from "../api.js";
import { h } from "../dom.js";
import { showTrouble } from "../trouble.js";
import { emotionName, onLanguage, t } from "../words.js";
import { affect, categoryBars, drawDetail, highest } from "./detail.js";
import { drawTokens, spansOf } from "./tokens.js";
import { makeTrace } from "./trace.js";

const N_FEATURES = 5;
const LONGEST_SHARED = 1500;

/** Return how tokens are coloured: `{of(token), most, name()}`; `most` is the value of the fullest colour. */
const measureOf = (by, categories) => {
  const at = categories.indexOf(by);
  if (at >= 0) return { of: (token) => token.scores[at], most: 4, name: () => emotionName(by) };
  const axis = by === "arousal" ? "arousal" : "valence";
  return { of: (token) => token[axis], most: 0.8, name: () => t(`axis.${axis}`) };
};

/** Make the view in `node`. Returns `{restore(setting)}`. */
export const make = (node) => {
  let by = "valence";
  let reading = null;
  let text = null;
  let drawn = null;
  let chosen = 0;
  let asking = null;

  const trouble = h("div", { role: "alert" });
  const input = h("textarea", { id: "read-text", name: "text", rows: 5 });
  const go = h("button", { class: "button main", t: "read.go" });
  const status = h("span", { class: "note", role: "status" });
  const colours = h("select", { id: "read-by", onchange: () => { by = colours.value; recolour(); } });
  const tokenBox = h("div");
  const legend = h("p", { class: "legend" });
  const detail = h("div", { class: "card detail", role: "region", "aria-live": "polite", "t-label": "read.detail" });
  const whole = h("div", { class: "card whole" });
  const traceBox = h("div");
  const result = h(
    "div",
    { hidden: true },
    h("section", { class: "part reading" },
      h("div", {},
        h("div", { class: "row" }, h("label", { class: "inline", for: "read-by" }, h("span", { t: "read.by" }), colours), legend),
        tokenBox,
        h("figure", {}, traceBox, h("figcaption", { t: "trace.caption" })),
      ),
      h("div", { class: "side" }, detail, whole),
    ),
  );
  node.append(
    h("header", {}, h("p", { class: "eyebrow", t: "read.eyebrow" }), h("h1", { t: "read.title" }), h("p", { class: "sub", t: "read.sub" })),
    h("form", { onsubmit: (event) => { event.preventDefault(); start(); } },
      h("label", { class: "field", for: "read-text" }, h("span", { t: "read.text" }), input),
      h("p", { class: "row" }, go, status),
    ),
    trouble,
    result,
  );
  const trace = makeTrace(traceBox, (at) => choose(at));

  const choose = (at) => {
    chosen = at;
    drawn.mark(at);
    trace.mark(at);
    drawDetail(detail, text.spans[at], reading);
  };

  const recolour = () => {
    const measure = measureOf(by, reading.categories);
    drawn.colour(measure);
    trace.show(text.spans, measure);
    legend.replaceChildren(
      h("span", { class: "num" }, `−${measure.most}`), h("i", { class: "ramp", "aria-hidden": "true" }), h("span", { class: "num" }, `+${measure.most}`),
      h("span", {}, t(reading.categories.includes(by) ? "read.z" : "read.points")),
    );
    remember();
  };

  const remember = () => {
    const given = input.value.trim();
    write("read", { text: given.length <= LONGEST_SHARED ? given : null, by: by === "valence" ? null : by });
  };

  const fillColours = () => {
    const option = (value, name) => h("option", { value }, name);
    colours.replaceChildren(
      option("valence", t("axis.valence")), option("arousal", t("axis.arousal")),
      h("optgroup", { label: t("read.category") }, ...reading.categories.map((name) => option(name, emotionName(name)))),
    );
    if (![...colours.options].some(({ value }) => value === by)) by = "valence";
    colours.value = by;
  };

  const draw = () => {
    if (!reading) return;
    fillColours();
    drawn = drawTokens(tokenBox, text, choose);
    whole.replaceChildren(
      h("h2", {}, t("read.whole")),
      affect(reading.valence, reading.arousal),
      h("h3", {}, t("read.highest")),
      categoryBars(highest(reading.categories, reading.scores, 6), t("read.highest")),
      h("p", { class: "note" }, t("read.by_model", { model: reading.model, layer: reading.layer })),
    );
    recolour();
    choose(Math.min(chosen, text.spans.length - 1));
  };
  onLanguage(draw);

  const start = async () => {
    const given = input.value.trim();
    if (!given) {
      input.focus();
      return;
    }
    asking?.abort();
    asking = new AbortController();
    status.textContent = t("read.busy");
    trouble.replaceChildren();
    try {
      const answer = await read(given, N_FEATURES, asking.signal);
      reading = answer;
      text = spansOf(given, reading.tokens);
      chosen = strongest(text.spans, measureOf(by, reading.categories));
      result.hidden = false;
      draw();
      status.textContent = t("read.done", { n: reading.tokens.length });
    } catch (error) {
      if (error.name === "AbortError") return;
      status.textContent = "";
      showTrouble(trouble, error, start);
    }
  };

  let untouched = null;
  const greet = () => {
    if (input.value === (untouched ?? "")) input.value = untouched = t("read.example");
  };
  onLanguage(() => {
    if (!reading) greet();
  });
  return {
    restore: (setting) => {
      by = setting.get("by") ?? by;
      if (setting.has("text") && setting.get("text") !== input.value) {
        input.value = setting.get("text");
        start();
      } else if (reading) remember();
      else greet();
    },
  };
};

const strongest = (spans, measure) => {
  const values = spans.map((span) => Math.abs(span.parts.map(measure.of)[0] ?? 0));
  return values.indexOf(Math.max(...values));
};
