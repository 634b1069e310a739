// A labelled choice, and a set of switches, filled from data.

import { freshId, h } from "./dom.js";

/** Make a select with a label of words `key`. Returns `{node, fill(options, value), value}`; options are `[value, name]`. */
export const makeSelect = (key, change) => {
  const id = freshId("select");
  const select = h("select", { id, onchange: () => change(select.value) });
  const node = h("label", { class: "inline", for: id }, h("span", { t: key }), select);
  return {
    node,
    select,
    fill: (options, value) => {
      select.replaceChildren(...options.map(([option, name]) => h("option", { value: option }, name)));
      if (options.some(([option]) => option === value)) select.value = value;
      node.hidden = options.length < 2;
      return select.value;
    },
  };
};

/** Return a fieldset of switches; `options` are `[value, name]`, `kind` is "radio" or "checkbox". */
export const switches = (kind, legend, options, chosen, change) => {
  const name = freshId("switch");
  return h(
    "fieldset",
    { class: "switch", onchange: (event) => change(event.target.value, event.target.checked) },
    h("legend", {}, legend),
    options.map(([value, text]) => h("label", {}, h("input", { type: kind, name, value, checked: chosen.includes(value) }), h("span", {}, text))),
  );
};
