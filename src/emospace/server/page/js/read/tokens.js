// The text in coloured tokens, one of them chosen: a list box of inline options, so that arrow keys walk the text.

import { h } from "../dom.js";
import { diverging } from "../hues.js";
import { signed } from "../numbers.js";
import { t } from "../words.js";

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * Join tokens that share a character (pieces of one Chinese character, of one emoji), as nobody can point at half of it.
 *
 * Offsets count code points. Returns `[{text, before, parts}]`, `before` being what stands between it and the last.
 */
export const spansOf = (text, tokens) => {
  const points = Array.from(text);
  const spans = [];
  let end = 0;
  for (const token of tokens) {
    if (spans.length && token.start < end) {
      const last = spans.at(-1);
      last.parts.push(token);
      end = Math.max(end, token.end);
      last.end = end;
    } else {
      spans.push({ start: token.start, end: token.end, before: points.slice(end, token.start).join(""), parts: [token] });
      end = token.end;
    }
  }
  for (const span of spans) {
    // A space that begins a token is not coloured: at the end of a line it would be a speck.
    const [, space, word] = points.slice(span.start, span.end).join("").match(/^(\s*)([^]*)$/);
    span.before += word ? space : "";
    span.text = word || space;
  }
  return { spans, after: points.slice(end).join("") };
};

/** Return what a span is worth by a measure `{of(token)}`; null where the reader has none. */
export const valueOf = (span, measure) => {
  const values = span.parts.map(measure.of).filter((value) => value !== null && value !== undefined);
  return values.length ? mean(values) : null;
};

/** Draw the text into `box`; `choose(at)` is called with the number of a span. Returns `{colour(measure), mark(at)}`. */
export const drawTokens = (box, { spans, after }, choose) => {
  let at = 0;
  const options = spans.map((span, place) =>
    h("span", { class: "token", role: "option", id: `token-${place}`, "aria-selected": "false", "data-at": place }, span.text),
  );
  const list = h(
    "div",
    { class: "text", role: "listbox", tabindex: 0, "aria-orientation": "horizontal", "aria-label": t("read.tokens") },
    spans.flatMap((span, place) => [span.before && h("span", { class: "between", "aria-hidden": "true" }, span.before), options[place]]),
    after && h("span", { "aria-hidden": "true" }, after),
  );
  box.replaceChildren(list);

  const mark = (place) => {
    options[at]?.setAttribute("aria-selected", "false");
    at = place;
    options[at].setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", options[at].id);
  };
  list.addEventListener("click", (event) => {
    const token = event.target.closest(".token");
    if (token) choose(Number(token.dataset.at));
  });
  list.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: spans.length - 1, PageUp: at - 10, PageDown: at + 10 };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(Math.min(spans.length - 1, Math.max(0, steps[event.key])));
    options[at].scrollIntoView({ block: "nearest" });
  });
  const colour = (measure) => {
    spans.forEach((span, place) => {
      const value = valueOf(span, measure);
      options[place].style.setProperty("--tint", value === null ? "transparent" : diverging(value / measure.most));
      options[place].setAttribute("aria-label", `${span.text.trim() || t("read.blank")}, ${measure.name()} ${signed(value)}`);
    });
  };
  return { colour, mark };
};
