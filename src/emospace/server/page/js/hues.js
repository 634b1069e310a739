// Which colour stands for what: the six basic emotions, series, values on a diverging scale. Blue is left to controls.

export const BASIC = ["anger", "disgust", "fear", "joy", "sadness", "surprise"];

/** Return the colour of a category: a hue for the basic six, a quiet grey for the others. */
export const hueOf = (name) => (BASIC.includes(name) ? `var(--hue-${BASIC.indexOf(name)})` : "var(--quiet)");

/** Return a background for a value between -1 and 1: orange below, violet above, clear at 0; ink stays legible on it. */
export const diverging = (value) => {
  const share = Math.round(Math.min(1, Math.abs(value)) * 55);
  return `color-mix(in srgb, var(${value < 0 ? "--low" : "--high"}) ${share}%, transparent)`;
};
