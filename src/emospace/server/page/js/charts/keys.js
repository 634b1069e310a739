// The key of a chart: what each colour stands for.

import { h } from "../dom.js";

/** Return a list of `{name, hue, hollow}` as a key. */
export const keys = (series) =>
  h(
    "ul",
    { class: "keys" },
    series.map(({ name, hue, hollow }) => {
      const swatch = h("i", { class: hollow ? "hollow" : "" });
      swatch.style.setProperty("--hue", hue);
      return h("li", {}, swatch, name);
    }),
  );
