// A tone is a point of the circumplex or a mix of emotions; what is touched last holds. `{point, mix}`, frozen.

import { numberOf } from "../address.js";
import { clamp, figure } from "../numbers.js";
import { emotionName, t } from "../words.js";

const round = (value) => Number(value.toFixed(3));

export const pointTone = (valence, arousal) =>
  Object.freeze({ point: { valence: round(clamp(valence, -1, 1)), arousal: round(clamp(arousal, -1, 1)) }, mix: {} });
export const mixTone = (mix) => Object.freeze({ point: null, mix: Object.fromEntries(Object.entries(mix).filter(([, weight]) => weight)) });

/** Return whether the tone steers at all. */
export const isNeutral = ({ point, mix }) => (point ? point.valence === 0 && point.arousal === 0 : Object.keys(mix).length === 0);

/** Return the tone as the API's `emotion`, or null for a neutral one. */
export const emotionOf = (tone) => (isNeutral(tone) ? null : (tone.point ?? tone.mix));

/** Return where the tone lies: its point, or the weighted mean of its emotions' places. */
export const placeOf = ({ point, mix }, categories) => {
  if (point) return point;
  const parts = categories.filter(({ name, valence }) => mix[name] && valence !== null);
  const total = parts.reduce((sum, { name }) => sum + mix[name], 0);
  if (!total) return { valence: 0, arousal: 0 };
  const mean = (axis) => parts.reduce((sum, part) => sum + mix[part.name] * part[axis], 0) / total;
  return { valence: mean("valence"), arousal: mean("arousal") };
};

/** Write the tone as people say it. */
export const describe = (tone) => {
  if (isNeutral(tone)) return t("tone.neutral");
  if (tone.point) return t("tone.point", { valence: figure(tone.point.valence), arousal: figure(tone.point.arousal) });
  return Object.entries(tone.mix).map(([name, weight]) => `${emotionName(name)} ${figure(weight)}`).join(" + ");
};

/** Return the tone that an address names, or null. */
export const toneFrom = (setting) => {
  if (setting.has("mix")) {
    const parts = setting.get("mix").split(",").map((part) => part.split(":"));
    return mixTone(Object.fromEntries(parts.filter(([name, weight]) => name && Number.isFinite(Number(weight))).map(([name, weight]) => [name, clamp(Number(weight), 0, 1)])));
  }
  const [valence, arousal] = [numberOf(setting, "v"), numberOf(setting, "a")];
  return valence === null && arousal === null ? null : pointTone(valence ?? 0, arousal ?? 0);
};

/** Return the tone as an address says it. */
export const toneSetting = ({ point, mix }) =>
  point ? { v: point.valence, a: point.arousal } : { mix: Object.entries(mix).map(([name, weight]) => `${name}:${weight}`).join(",") || ":" };
