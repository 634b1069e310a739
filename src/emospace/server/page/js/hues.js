// Which colour stands for what: the six basic emotions, series, values on a diverging scale. Blue is left to controls.

export const BASIC = ["anger", "disgust", "fear", "joy", "sadness", "surprise"];

/** Return the colour of a category: a hue for the basic six, a quiet grey for the others. */
export const hueOf = (name) => (BASIC.includes(name) ? `var(--hue-${BASIC.indexOf(name)})` : "var(--quiet)");

/** Return the colour of the n-th series. */
export const seriesHue = (at) => `var(--hue-${at % 6})`;

/** Return a background for a value between -1 and 1: orange below, violet above, clear at 0; ink stays legible on it. */
export const diverging = (value) => {
  const share = Math.round(Math.min(1, Math.abs(value)) * 55);
  return `color-mix(in srgb, var(${value < 0 ? "--low" : "--high"}) ${share}%, transparent)`;
};

const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
const channels = VIRIDIS.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));

/** Return viridis at a share between 0 and 1 as `[r, g, b]`. */
export const viridis = (share) => {
  const place = Math.min(1, Math.max(0, share)) * (channels.length - 1);
  const low = Math.min(channels.length - 2, Math.floor(place));
  return channels[low].map((from, at) => Math.round(from + (channels[low + 1][at] - from) * (place - low)));
};
