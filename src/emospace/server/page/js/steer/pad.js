// The circumplex as a pad: categories where people place them, and a knob that a pointer or the arrow keys move.

import { linear } from "../scale.js";
import { placeLabels, widthOf } from "../figures.js";
import { freshId, h, onWidth, paused, s } from "../dom.js";
import { BASIC, hueOf } from "../hues.js";
import { clamp, figure } from "../numbers.js";
import { emotionName, onLanguage, t } from "../words.js";
import { describe, isNeutral, placeOf, pointTone } from "./tone.js";

const LIMIT = 1.06;
const MARGIN = 22;
const SNAP = 12;
const KNOB = 14;
const REST = 150;
const STEPS = {
  ArrowLeft: ["valence", -0.05], ArrowRight: ["valence", 0.05], ArrowDown: ["arousal", -0.05], ArrowUp: ["arousal", 0.05],
  PageDown: ["arousal", -0.25], PageUp: ["arousal", 0.25], Home: ["valence", -2], End: ["valence", 2],
};

/** Make the pad in `box`; `change(tone)` is called when it is moved. Returns `{update(tone), fill(categories)}`. */
export const makePad = (box, change) => {
  let categories = [];
  let tone = pointTone(0, 0);
  let size = 0;
  let held = null;
  let rested = "";
  const help = freshId("pad-help");
  const back = s("g", { "aria-hidden": "true" });
  const ray = s("line", { class: "ray" });
  const knob = s(
    "g",
    { class: "knob", tabindex: 0, role: "slider", "aria-valuemin": -1, "aria-valuemax": 1, "t-label": "pad.label", "aria-describedby": help },
    s("circle", { class: "reach", r: 24 }),
    s("circle", { class: "ring", r: 15 }),
    s("circle", { class: "dot", r: 10 }),
  );
  const drawing = s("svg", { class: "pad", role: "group", "t-label": "pad.name" }, back, ray, knob);
  box.append(drawing, h("p", { class: "note", id: help, t: "pad.help" }));

  const x = (value) => linear([-LIMIT, LIMIT], [MARGIN, size - MARGIN])(value);
  const y = (value) => linear([-LIMIT, LIMIT], [size - MARGIN, MARGIN])(value);

  const nearest = (place) => {
    const away = (emotion) => Math.hypot(emotion.valence - place.valence, emotion.arousal - place.arousal);
    return categories.filter(({ valence }) => valence !== null).sort((a, b) => away(a) - away(b))[0];
  };

  const placeName = () => Object.values(placeOf(tone, categories)).join();

  const drawKnob = () => {
    if (!size) return;
    const place = placeOf(tone, categories);
    const near = nearest(place);
    knob.setAttribute("transform", `translate(${x(place.valence)} ${y(place.arousal)})`);
    knob.classList.toggle("mixed", !tone.point);
    knob.setAttribute("aria-valuenow", place.valence.toFixed(2));
    const said = near && !isNeutral(tone) ? `; ${t("pad.nearest", { name: emotionName(near.name) })}` : "";
    knob.setAttribute("aria-valuetext", describe(tone) + said);
    for (const [name, value] of Object.entries({ x1: x(0), y1: y(0), x2: x(place.valence), y2: y(place.arousal) })) ray.setAttribute(name, value);
    for (const dot of back.querySelectorAll(".category")) dot.classList.toggle("chosen", Boolean(tone.mix[dot.dataset.name]));
  };

  const drawBack = () => {
    if (!size) return;
    drawing.setAttribute("viewBox", `0 0 ${size} ${size}`);
    const unit = x(1) - x(0);
    const ends = [
      [size - 4, size - 5, "end", "pad.pleasant"], [4, size - 5, "start", "pad.unpleasant"],
      [x(0) + 6, 12, "start", "pad.excited"], [x(0) + 6, size - 5, "start", "pad.calm"],
    ];
    const placed = categories.filter(({ valence }) => valence !== null);
    const points = placed.map((emotion) => ({ x: x(emotion.valence), y: y(emotion.arousal), text: emotionName(emotion.name), bold: BASIC.includes(emotion.name) }));
    const font = size < 380 ? 10 : 11.5;
    const reserved = ends.map(([at, up, anchor, key]) => {
      const from = at - (anchor === "end" ? widthOf(t(key), 11.5) : 0);
      return { x0: from - 2, x1: from + widthOf(t(key), 11.5) + 2, y0: up - 12, y1: up + 4 };
    });
    const place = placeOf(tone, categories);
    const [left, up] = [x(place.valence), y(place.arousal)];
    rested = placeName();
    reserved.push({ x0: left - KNOB, x1: left + KNOB, y0: up - KNOB, y1: up + KNOB });
    const spots = placeLabels(points, size, size, font, { reachMost: size < 380 ? 40 : 60, reserved });
    back.replaceChildren(
      s("circle", { class: "unit", cx: x(0), cy: y(0), r: unit }),
      s("circle", { class: "unit half", cx: x(0), cy: y(0), r: unit / 2 }),
      s("line", { class: "axis", x1: 0, x2: size, y1: y(0), y2: y(0) }),
      s("line", { class: "axis", y1: 0, y2: size, x1: x(0), x2: x(0) }),
      ...ends.map(([at, up, anchor, key]) => s("text", { class: "end", x: at, y: up, "text-anchor": anchor }, t(key))),
      ...placed.flatMap((emotion, at) => category(emotion, points[at], spots[at], font)),
    );
    drawKnob();
  };

  // Names make room for the knob where it rests, not on its way.
  const settle = paused(() => {
    if (held) settle();
    else if (rested !== placeName()) drawBack();
  }, REST);

  const moveTo = (place) => {
    tone = pointTone(place.valence, place.arousal);
    drawKnob();
    settle();
    change(tone);
  };

  const pointer = (event) => {
    const frame = drawing.getBoundingClientRect();
    const scale = size / frame.width;
    const inside = (pixel, ends) => clamp(linear(ends, [-LIMIT, LIMIT])(pixel * scale), -1, 1);
    return {
      valence: Math.round(inside(event.clientX - frame.left, [MARGIN, size - MARGIN]) * 100) / 100,
      arousal: Math.round(inside(event.clientY - frame.top, [size - MARGIN, MARGIN]) * 100) / 100,
    };
  };

  const snapped = (place) => {
    const near = nearest(place);
    if (!near) return place;
    const away = Math.hypot(x(near.valence) - x(place.valence), y(near.arousal) - y(place.arousal));
    return away <= SNAP ? near : place;
  };

  // A finger beside the knob may want to scroll; it sets the point only where it is lifted in place.
  drawing.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const drags = event.pointerType !== "touch" || knob.contains(event.target);
    held = { drags, moved: false, from: [event.clientX, event.clientY] };
    if (!drags) return;
    event.preventDefault();
    drawing.setPointerCapture(event.pointerId);
    knob.focus({ preventScroll: true });
  });
  drawing.addEventListener("pointermove", (event) => {
    if (!held) return;
    held.moved ||= Math.hypot(event.clientX - held.from[0], event.clientY - held.from[1]) > 3;
    if (held.drags && held.moved) moveTo(pointer(event));
  });
  drawing.addEventListener("pointerup", (event) => {
    if (held && !held.moved) moveTo(snapped(pointer(event)));
    held = null;
  });
  drawing.addEventListener("pointercancel", () => (held = null));
  knob.addEventListener("keydown", (event) => {
    const place = placeOf(tone, categories);
    if (event.key in STEPS && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const [axis, step] = STEPS[event.key];
      const wide = event.shiftKey ? 4 : 1;
      moveTo({ ...place, [axis]: Math.round(clamp(place[axis] + step * wide, -1, 1) * 100) / 100 });
    } else if (["0", "Delete", "Backspace"].includes(event.key)) {
      moveTo({ valence: 0, arousal: 0 });
    } else return;
    event.preventDefault();
  });

  onWidth(drawing, (width) => {
    size = width;
    drawBack();
  });
  onLanguage(drawBack);
  return {
    update: (given) => {
      tone = given;
      drawKnob();
      settle();
    },
    fill: (given) => {
      categories = given;
      drawBack();
    },
  };
};

const category = (emotion, point, spot, font) => {
  const basic = BASIC.includes(emotion.name);
  const about = `${point.text}: ${t("tone.point", { valence: figure(emotion.valence), arousal: figure(emotion.arousal) })}`;
  return [
    spot?.far && s("line", { class: "lead", x1: point.x, y1: point.y, x2: spot.x, y2: spot.y }),
    s(
      "circle",
      { class: `category${emotion.derived ? " derived" : ""}`, "data-name": emotion.name, cx: point.x, cy: point.y, r: basic ? 5.5 : 3.5, color: hueOf(emotion.name) },
      s("title", {}, about),
    ),
    spot && s("text", { class: `name${basic ? " basic" : ""}`, x: spot.x, y: spot.y, "font-size": font }, point.text),
  ].filter(Boolean);
};
