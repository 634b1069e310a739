// Languages over one another on the plane: in the run's own space, or layer by layer.

import { table } from "../api.js";
import { makeCurve } from "../charts/curve.js";
import { keys } from "../charts/keys.js";
import { makePlane } from "../charts/plane.js";
import { scaled, turnedOnto } from "../charts/scaling.js";
import { makeSelect, switches } from "../charts/select.js";
import { h, paused } from "../dom.js";
import { seriesHue } from "../hues.js";
import { emotionName, languageName, t } from "../words.js";
import { makeSlider } from "../steer/sliders.js";

const MOST = 5;
const ALL = 50000;

/** Return a square `[n, n]` of the pairs `{a, b, dissimilarity}` and its names; categories with a gap are left out. */
export const squareOf = (pairs) => {
  const names = [...new Set(pairs.flatMap(({ a, b }) => [a, b]))];
  const at = new Map(names.map((name, place) => [name, place]));
  const square = names.map((_, i) => names.map((__, j) => (i === j ? 0 : NaN)));
  for (const { a, b, dissimilarity } of pairs) square[at.get(a)][at.get(b)] = square[at.get(b)][at.get(a)] = dissimilarity ?? NaN;
  const whole = names.map((_, i) => i).filter((i) => square[i].filter(Number.isFinite).length > names.length / 2);
  const sound = whole.filter((i) => whole.every((j) => Number.isFinite(square[i][j])));
  return { names: sound.map((i) => names[i]), square: sound.map((i) => sound.map((j) => square[i][j])) };
};

/** Make the part in `box`. Returns `{show(scene)}`; `layer(n or null)` is called with what is looked at. */
export const makeGeometry = (box, { remember, layer: tell }) => {
  let scene = null;
  let chosen = [];
  let layer = null;
  let picked = "basic";
  let people = true;

  const languages = h("div");
  const picker = makeSelect("space.show", (value) => { picked = value; draw(); });
  const depth = h("div");
  const slider = makeSlider({ key: "space.layer", min: 0, max: 1, step: 1, write: String, change: (value) => look(value) });
  const missing = h("p", { class: "note" });
  const key = h("div");
  const planeBox = h("div");
  const caption = h("figcaption");
  const curveBox = h("div");
  const curveKey = h("div");
  const curveCaption = h("figcaption");
  const curveFigure = h("figure", {}, curveKey, curveBox, curveCaption);
  box.append(
    h("div", { class: "split" },
      h("figure", {}, key, planeBox, caption),
      h("div", { class: "stack" }, languages, picker.node, depth, slider.node, missing, curveFigure),
    ),
  );
  const plane = makePlane(planeBox);
  const curve = makeCurve(curveBox);

  const look = (value) => {
    layer = value;
    remember({ layer });
    tell(layer);
    draw();
  };

  const seriesOf = async () => {
    const { rows } = await table(scene.run.id, "circumplex", { limit: ALL });
    const of = (language) => rows.filter((row) => row.language === language);
    const series = layer === null ? chosen.map((language) => ({ language, points: of(language).map(({ category, model_x: x, model_y: y }) => ({ category, x, y })) })) : await layerSeries(of);
    const given = series.map(({ language, points }, at) => ({ name: languageName(language), hue: seriesHue(at), points }));
    if (!people) return given;
    const judged = new Map();
    for (const { category, human_valence: x, human_arousal: y } of (chosen.length ? chosen : [scene.language]).flatMap(of)) if (!judged.has(category) && x !== null) judged.set(category, { category, x, y });
    return [...given, { name: t("space.people"), hue: "var(--ink)", hollow: true, points: [...judged.values()] }];
  };

  const layerSeries = async (of) => {
    if (!chosen.length) return [];
    const { rows } = await table(scene.run.id, "rdm_layers", { language: chosen, layer, limit: ALL });
    return chosen.map((language) => {
      const { names, square } = squareOf(rows.filter((row) => row.language === language));
      const places = new Map(of(language).map((row) => [row.category, row.human_valence === null ? null : [row.human_valence, row.human_arousal]]));
      const points = names.length > 2 ? turnedOnto(scaled(square), names.map((name) => places.get(name) ?? null)) : [];
      return { language, points: names.slice(0, points.length).map((category, at) => ({ category, x: points[at][0], y: points[at][1] })) };
    });
  };

  let latest = 0;
  const draw = paused(async () => {
    const mine = (latest += 1);
    try {
      const series = await seriesOf();
      if (mine !== latest) return;
      missing.textContent = "";
      key.replaceChildren(keys(series));
      caption.textContent = t(layer === null ? "plane.caption" : "plane.caption_layer", { layer });
      plane.show({ series, basicOnly: picked === "basic", picked: ["basic", "all"].includes(picked) ? null : picked, alt: t("plane.alt", { names: series.map(({ name }) => name).join(", ") }) });
    } catch (error) {
      missing.textContent = t("space.absent", { why: error.message });
    }
    drawCurve();
  }, 60);

  const drawCurve = async () => {
    curveFigure.hidden = !scene.run.tables.includes("layer_curve");
    if (curveFigure.hidden) return;
    const { rows } = await table(scene.run.id, "layer_curve", { language: scene.language, limit: ALL });
    const names = [...new Set(rows.map((row) => `${row.norms} ${row.target}`))].filter((name) => /valence|arousal/.test(name)).slice(0, 6);
    const series = names.map((name) => {
      const [norms, target] = name.split(" ");
      const points = rows.filter((row) => row.norms === norms && row.target === target && row.r !== null).map((row) => [row.layer, row.r]).sort((a, b) => a[0] - b[0]);
      return { name: `${t(`axis.${target}`)}, ${norms.replaceAll("_", " ")}`, hue: target === "valence" ? "var(--high)" : "var(--low)", dash: ["", "6 4", "2 3"][names.filter((other) => other.endsWith(target)).indexOf(name) % 3], points };
    });
    curveKey.replaceChildren(keys(series));
    curve.show({ series, here: layer ?? scene.run.layer, title: t("curve.title"), alt: t("curve.alt") });
    curveCaption.textContent = t("curve.caption", { language: languageName(scene.language) });
  };

  const controls = () => {
    const { run } = scene;
    const options = [...run.languages.map((code) => [code, languageName(code)]), ["people", t("space.people")]];
    const toggle = (value, on) => {
      if (value === "people") people = on;
      else chosen = on ? [...chosen, value].slice(-MOST) : chosen.filter((one) => one !== value);
      remember({ languages: chosen.join(",") });
      if (chosen.length === MOST || !on) controls();
      draw();
    };
    const focused = document.activeElement?.value;
    languages.replaceChildren(switches("checkbox", t("space.languages"), options, [...chosen, ...(people ? ["people"] : [])], toggle));
    languages.querySelector(`input[value="${focused}"]`)?.focus();
    const names = [...new Set(run.results.features.map(({ category }) => category))];
    picked = picker.fill([["basic", t("space.basic")], ["all", t("space.all")], ...names.map((name) => [name, emotionName(name)])], picked);
    const layered = run.tables.includes("rdm_layers") && run.n_blocks;
    depth.replaceChildren(layered ? switches("radio", t("space.depth"), [["own", t("space.own")], ["layer", t("space.each")]], [layer === null ? "own" : "layer"], (value) => { look(value === "own" ? null : run.layer); controls(); }) : h("p", { class: "note" }, t("space.no_layers")));
    slider.input.max = String(run.n_blocks ?? 1);
    slider.node.hidden = !layered || layer === null;
    slider.rename();
    if (layer !== null) slider.set(layer);
  };

  return {
    show: (given) => {
      scene = given;
      const { run, setting } = scene;
      const asked = (setting.languages ?? "").split(",").filter((code) => run.languages.includes(code));
      const usual = ["en", "zh"].filter((code) => run.languages.includes(code));
      chosen = (asked.length ? asked : usual.length ? usual : run.languages.slice(0, 2)).slice(0, MOST);
      layer = setting.layer === null || setting.layer === "" || !run.tables.includes("rdm_layers") ? null : Math.min(Number(setting.layer), run.n_blocks);
      controls();
      draw();
    },
  };
};
