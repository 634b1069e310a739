// One range input with its name and value, as used for axes, emotions and the dose.

import { freshId, h } from "../dom.js";
import { figure } from "../numbers.js";
import { translate } from "../words.js";

/** Make a slider; `name` is a key of words, or with `said` a function that gives the name. Returns `{node, input, set}`. */
export const makeSlider = ({ key = null, said = null, min = 0, max = 1, step = 0.05, write = figure, change }) => {
  const id = freshId("slider");
  const input = h("input", { type: "range", id, min, max, step, value: 0 });
  const output = h("output", { for: id });
  const label = h("label", { for: id, t: key });
  if (said) label.textContent = said();
  const node = h("div", { class: "slide" }, label, input, output);
  const show = (value = Number(input.value)) => {
    const [low, high] = [Number(input.min), Number(input.max)];
    input.style.setProperty("--fill", `${((value - low) / (high - low || 1)) * 100}%`);
    output.textContent = write(value);
    input.setAttribute("aria-valuetext", write(value));
  };
  input.addEventListener("input", () => {
    show();
    change(Number(input.value));
  });
  const set = (value) => {
    // Its steps are coarser than the pad's: the value is shown as it is.
    input.value = String(value);
    show(value);
  };
  set(0);
  const rename = () => (said ? (label.textContent = said()) : translate(node));
  return { node, input, set, show, rename };
};
