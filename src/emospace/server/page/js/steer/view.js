// Steer: set a tone, ask, and watch both answers come.

import { numberOf, write } from "../address.js";
import { emotions, model, resolve } from "../api.js";
import { h, paused } from "../dom.js";
import { clamp, figure } from "../numbers.js";
import { showTrouble } from "../trouble.js";
import { onLanguage, t } from "../words.js";
import { makeColumn } from "./column.js";
import { makeDose } from "./dose.js";
import { makeFrontier } from "./frontier.js";
import { makeMixer } from "./mixer.js";
import { makePad } from "./pad.js";
import { makeSampling } from "./sampling.js";
import { makeSharing } from "./sharing.js";
import { makeSlider } from "./sliders.js";
import { describe, emotionOf, isNeutral, pointTone, toneFrom, toneSetting } from "./tone.js";

/** Make the view in `node`. Returns `{restore(setting)}`. */
export const make = (node) => {
  let tone = pointTone(0.7, 0.5);
  let dose = null;
  let range = null;
  let ranged = null;
  let unresolved = false;
  let served = null;
  let running = null;
  let steerable = true;

  const trouble = h("div", { role: "alert" });
  const said = h("output", { class: "tone", "aria-live": "polite" });
  const prompt = h("textarea", { rows: 3, id: "prompt", name: "prompt", oninput: () => changed() });
  const go = h("button", { type: "submit", class: "button main", t: "steer.go" });
  const stop = h("button", { type: "button", class: "button", t: "steer.stop", disabled: true, onclick: () => running?.abort() });
  const reset = h("button", { type: "button", class: "link", t: "steer.neutral", onclick: () => setTone(pointTone(0, 0)) });
  const padBox = h("div", { class: "padbox" });
  const axisBox = h("div", { class: "sliders axes" });
  const doseBox = h("div");
  const mixBox = h("div", { class: "mix" });
  const form = h(
    "form",
    { class: "controls", onsubmit: (event) => { event.preventDefault(); start(); } },
    h("label", { class: "field", for: "prompt" }, h("span", { t: "steer.prompt" }), prompt),
    h("div", { class: "row" }, go, stop),
    h("div", { class: "set" }, h("span", { class: "label", t: "steer.tone" }), " ", said, " ", reset),
  );
  const plain = makeColumn("steer.unsteered", () => steered.compareWith(plain.judgement()));
  const steered = makeColumn("steer.steered", () => steered.compareWith(plain.judgement()));
  const sampling = makeSampling(() => changed());
  const sharing = makeSharing(() => request(true));
  const eyebrow = h("p", { class: "eyebrow" });
  node.append(
    h("header", {}, eyebrow, h("h1", { t: "steer.title" }), h("p", { class: "sub", t: "steer.sub" })),
    trouble,
    h("div", { class: "desk" },
      h("div", { class: "card" }, padBox),
      h("div", { class: "talk" }, form, h("section", { "t-label": "steer.answers" }, h("div", { class: "columns" }, plain.node, steered.node))),
      h("div", { class: "controls" }, axisBox, doseBox, mixBox, sampling.node),
    ),
    sharing.node,
  );

  const pad = makePad(padBox, (given) => setTone(given));
  const mixer = makeMixer(mixBox, (given) => setTone(given));
  const doser = makeDose(doseBox, (given) => { dose = given; changed(); });
  const frontier = makeFrontier(doseBox);
  const axes = Object.fromEntries(
    ["valence", "arousal"].map((axis) => {
      const move = (value) => {
        const from = tone.point ?? { valence: 0, arousal: 0 };
        const to = { ...from, [axis]: value };
        setTone(pointTone(to.valence, to.arousal));
      };
      return [axis, makeSlider({ key: `axis.${axis}`, min: -1, max: 1, change: move })];
    }),
  );
  axisBox.append(axes.valence.node, axes.arousal.node);

  const request = (withTone) => ({
    model: served?.id,
    messages: [{ role: "user", content: prompt.value.trim() }],
    ...sampling.fields(),
    ...(withTone && !isNeutral(tone) && { emotion: emotionOf(tone), ...(dose !== null && { dose }), ...sampling.scope() }),
  });

  // The server knows how doses of a mix come about; while it is asked the last range stands.
  let asking = null;
  const findRange = paused(async () => {
    if (!served) return;
    asking?.abort();
    asking = new AbortController();
    const asked = tone;
    try {
      const steering = isNeutral(asked) || !steerable ? null : await resolve({ emotion: emotionOf(asked) }, asking.signal);
      range = steering?.calibrated_dose === null || !steering ? null : { dose: steering.calibrated_dose, low: steering.low, high: steering.high };
      ranged = asked;
      if (unresolved) trouble.replaceChildren();
      unresolved = false;
      doser.update(dose, range);
      frontier.update(tone, dose, range);
    } catch (error) {
      if (error.name === "AbortError") return;
      unresolved = true;
      showTrouble(trouble, error, load);
    }
  }, 80);

  const changed = () => {
    said.textContent = describe(tone);
    reset.hidden = isNeutral(tone);
    frontier.update(tone, dose, range);
    write("steer", { ...toneSetting(tone), dose, prompt: prompt.value.trim(), ...sampling.setting() });
    sharing.update();
  };

  const setTone = (given) => {
    tone = given;
    pad.update(tone);
    mixer.update(tone);
    axes.valence.set(tone.point?.valence ?? 0);
    axes.arousal.set(tone.point?.arousal ?? 0);
    findRange();
    changed();
  };

  const about = () => {
    const shown = dose ?? (ranged === tone ? range?.dose : null) ?? null;
    return shown === null || isNeutral(tone) ? describe(tone) : `${describe(tone)} · ${t("steer.at_dose", { dose: figure(shown) })}`;
  };

  const start = async () => {
    if (!prompt.value.trim()) {
      prompt.focus();
      return;
    }
    running?.abort();
    const mine = new AbortController();
    running = mine;
    stop.disabled = false;
    const jobs = [plain.run(request(false), t("tone.neutral"), mine.signal)];
    if (isNeutral(tone)) steered.say("steer.choose");
    else jobs.push(steered.run(request(true), about(), mine.signal));
    await Promise.all(jobs);
    if (running === mine) stop.disabled = true;
  };

  const load = async () => {
    try {
      trouble.replaceChildren();
      const [listed, given] = await Promise.all([emotions(), model()]);
      served = given;
      eyebrow.textContent = given.name ?? given.id;
      sampling.limit(given.limits?.answer_tokens);
      const categories = listed.filter(({ kind }) => kind === "category").map((emotion) => ({ ...emotion, name: emotion.id }));
      pad.fill(categories);
      mixer.fill(categories);
      frontier.fill(categories);
      setTone(tone);
      steerable = listed.length > 0;
      if (!steerable) trouble.replaceChildren(h("div", { class: "reason" }, h("p", { t: "steer.no_vectors" }, t("steer.no_vectors"))));
    } catch (error) {
      showTrouble(trouble, error, load);
    }
  };

  let untouched = null;
  const greet = () => {
    if (prompt.value === (untouched ?? "")) prompt.value = untouched = t("steer.example");
  };
  onLanguage(() => {
    greet();
    changed();
  });
  load();
  return {
    restore: (setting) => {
      tone = toneFrom(setting) ?? tone;
      const given = numberOf(setting, "dose", dose);
      dose = given === null ? null : clamp(given, 0, 10);
      if (setting.has("prompt")) prompt.value = setting.get("prompt");
      else greet();
      sampling.restore(setting);
      doser.update(dose, range);
      setTone(tone);
    },
  };
};
