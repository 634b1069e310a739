// What a tone costs: how often calibration found it over how much it strays from fluent text, the dose marked on it.

import { h, onWidth, s } from "../dom.js";
import { BASIC } from "../hues.js";
import { clamp, number } from "../numbers.js";
import { linear, ticks } from "../scale.js";
import { emotionName, onLanguage, t } from "../words.js";
import { isNeutral } from "./tone.js";

const HEIGHT = 200;
const MARGIN = { left: 46, right: 14, top: 12, bottom: 40 };
const GRID = 20;
const USUAL = 2; // ratios shown at least

const percent = (share) => `${Math.round(100 * share)}%`;

/** Return an emotion's measured points, by dose as a multiple of its calibrated one; unsteered answers come first. */
const curveOf = ({ vectors }) => {
  const { dose, base_rate: base, tried } = vectors.relative ?? {};
  if (!dose || !tried?.length) return null;
  const points = tried.map((trial) => ({ at: trial.dose / dose, rate: trial.rate, ratio: trial.perplexity_ratio, n: trial.n_judged }));
  return [{ at: 0, rate: base ?? 0, ratio: 1 }, ...points.sort((a, b) => a.at - b.at)];
};

const between = (curve, at) => {
  const next = Math.max(1, curve.findIndex((point) => point.at >= at));
  const [a, b] = [curve[next - 1], curve[next]];
  const share = (at - a.at) / (b.at - a.at || 1);
  return { at, rate: a.rate + share * (b.rate - a.rate), ratio: Math.exp(Math.log(a.ratio) + share * Math.log(b.ratio / a.ratio)) };
};

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Return the mean of curves as far as all were measured. */
const meanOf = (curves) => {
  const end = Math.min(...curves.map((curve) => curve.at(-1).at));
  return Array.from({ length: GRID + 1 }, (_, place) => {
    const points = curves.map((curve) => between(curve, (end * place) / GRID));
    return { at: points[0].at, rate: mean(points.map(({ rate }) => rate)), ratio: Math.exp(mean(points.map(({ ratio }) => Math.log(ratio)))) };
  });
};

const strengthOf = ({ point, mix }) => Math.min(1, point ? Math.hypot(point.valence, point.arousal) : Object.values(mix).reduce((sum, weight) => sum + Math.abs(weight), 0));

/** Make the chart in `box`. Returns `{fill(categories), update(tone, dose, range)}`. */
export const makeFrontier = (box) => {
  const svg = s("svg", { class: "chart frontier", role: "img", height: HEIGHT });
  const said = h("p", { class: "note", role: "status" });
  const node = h("figure", { class: "cost", hidden: true }, h("h3", { t: "cost.name" }), svg, said);
  box.append(node);
  let curves = new Map();
  let [tone, dose, range] = [null, null, null];
  let width = 0;

  // A mix has its emotions' curves, a point of the plane, which is none of them, those of the basic six.
  const chosen = () => {
    const mixed = Object.keys(tone?.mix ?? {}).filter((name) => tone.mix[name] > 0);
    const names = mixed.length ? mixed : BASIC;
    return names.filter((name) => curves.has(name));
  };

  const draw = () => {
    const names = tone && range && !isNeutral(tone) ? chosen() : [];
    node.hidden = !names.length;
    if (!names.length || !width) return;
    const alone = names.length === 1;
    const curve = alone ? curves.get(names[0]) : meanOf(names.map((name) => curves.get(name)));
    const wanted = ((dose ?? range.dose) / range.dose) * strengthOf(tone);
    const end = curve.at(-1).at;
    const beyond = wanted > end + 0.005;
    const here = between(curve, Math.min(wanted, end));
    const low = Math.min(1, ...curve.map(({ ratio }) => ratio));
    const high = Math.max(USUAL, ...curve.map(({ ratio }) => ratio)) * 1.04;
    const x = linear([low, high], [MARGIN.left, width - MARGIN.right]);
    const y = linear([0, 1], [HEIGHT - MARGIN.bottom, MARGIN.top]);
    const place = ({ rate, ratio }) => [x(ratio), y(rate)];
    const dots = alone ? curve.slice(1) : [];
    const calibrated = between(curve, Math.min(strengthOf(tone), end));
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.replaceChildren(
      ...[0, 0.5, 1].flatMap((rate) => [
        s("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(rate), y2: y(rate) }),
        s("text", { class: "tick", x: MARGIN.left - 8, y: y(rate), "text-anchor": "end" }, percent(rate)),
      ]),
      ...ticks([low, high], 4).map((ratio) => s("text", { class: "tick", x: x(ratio), y: HEIGHT - MARGIN.bottom + 13, "text-anchor": "middle" }, number(ratio, 1))),
      s("text", { class: "tick", x: (MARGIN.left + width - MARGIN.right) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, t("cost.axis")),
      s("polyline", { class: "curve", points: curve.map((point) => place(point).join()).join(" ") }),
      ...dots.map((point) => s("circle", { class: "tried", cx: x(point.ratio), cy: y(point.rate), r: 3 })),
      s("circle", { class: "start", cx: x(curve[0].ratio), cy: y(curve[0].rate), r: 4 }),
      diamond(place(calibrated)),
      s("circle", { class: `here${beyond ? " beyond" : ""}`, cx: x(here.ratio), cy: y(here.rate), r: 7 }),
    );
    const given = { rate: percent(here.rate), base: percent(curve[0].rate), ratio: number(clamp(here.ratio, 0, 99), 1), name: alone ? emotionName(names[0]) : "", n: names.length, answers: curves.get(names[0]).at(-1).n };
    const sentence = t(beyond ? "cost.beyond" : alone ? "cost.single" : "cost.mean", given);
    svg.setAttribute("aria-label", sentence);
    said.replaceChildren(sentence, " ", h("span", { class: "keys" }, key("here", t("cost.here")), key("calibrated", t("cost.calibrated")), key("start", t("steer.unsteered"))));
  };

  onLanguage(draw);
  onWidth(box, (given) => {
    width = given;
    draw();
  });
  return {
    fill: (categories) => {
      curves = new Map(categories.map((emotion) => [emotion.name, curveOf(emotion)]).filter(([, curve]) => curve));
      draw();
    },
    update: (...given) => {
      [tone, dose, range] = given;
      draw();
    },
  };
};

const diamond = ([x, y]) => s("path", { class: "calibrated", d: `M${x} ${y - 7}L${x + 7} ${y}L${x} ${y + 7}L${x - 7} ${y}Z` });

const key = (name, text) => h("span", { class: "key" }, s("svg", { viewBox: "0 0 16 16", class: "chart frontier", "aria-hidden": "true" }, name === "calibrated" ? diamond([8, 8]) : s("circle", { class: name, cx: 8, cy: 8, r: name === "here" ? 6 : 4 })), text);
