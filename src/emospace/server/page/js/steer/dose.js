// The dose: calibrated unless somebody sets it, with the range that calibration measured marked on the track.

import { h } from "../dom.js";
import { figure } from "../numbers.js";
import { onLanguage, t } from "../words.js";
import { makeSlider } from "./sliders.js";

/** Make the dose in `box`; `change(dose)` gets a number, or null for the calibrated one. Returns `{update(dose, range)}`. */
export const makeDose = (box, change) => {
  let dose = null;
  let range = null;
  const slider = makeSlider({ key: "dose.name", max: 1.4, step: 0.01, change: (value) => set(value) });
  const band = h("span", { class: "band" });
  const mark = h("span", { class: "mark" });
  const track = h("span", { class: "track" }, h("span", { class: "marks", "aria-hidden": "true" }, band, mark));
  slider.input.replaceWith(track);
  track.append(slider.input);
  const said = h("p", { class: "note", role: "status" });
  const auto = h("button", { type: "button", class: "link", t: "dose.auto", onclick: () => set(null) });
  box.append(h("div", { class: "dose" }, slider.node, h("div", { class: "row said" }, said, auto)));

  const set = (value) => {
    dose = value;
    draw();
    change(dose);
  };

  const draw = () => {
    const shown = dose ?? range?.dose ?? 0;
    // A dose from an address may be shown before its range is known, or lie beyond it.
    slider.input.max = String(Math.max(1.4, Math.ceil((range?.high ?? 0) * 1.5 * 10) / 10, shown));
    slider.input.disabled = !range && dose === null;
    slider.set(shown);
    const top = Number(slider.input.max);
    mark.hidden = !range;
    band.hidden = !(range?.high > range?.low);
    if (range) {
      band.style.setProperty("--from", range.low / top);
      band.style.setProperty("--to", range.high / top);
      mark.style.setProperty("--from", range.dose / top);
    }
    // The calibrated dose is right, also where no range was measured around it, or a weak tone has less of it.
    const beyond = range && shown > Math.max(range.high, range.dose) + 1e-9;
    const below = range && dose !== null && shown < range.low - 1e-9;
    const calibrated = range?.high > range?.low ? "dose.calibrated" : "dose.untried";
    slider.node.classList.toggle("beyond", Boolean(beyond));
    auto.hidden = dose === null;
    const ends = range ? { low: figure(range.low), high: figure(range.high), dose: figure(range.dose) } : {};
    said.textContent = !range ? t("dose.none") : t(beyond ? "dose.beyond" : below ? "dose.below" : dose === null ? calibrated : "dose.within", ends);
  };
  onLanguage(() => {
    slider.rename();
    draw();
  });
  draw();
  return {
    update: (given, calibrated) => {
      [dose, range] = [given, calibrated];
      draw();
    },
  };
};
