// From data to pixels and back, and ticks at round numbers.

/** Return a linear scale from a domain to a range of pixels, with its inverse. */
export const linear = ([d0, d1], [r0, r1]) => {
  const scale = (value) => r0 + ((value - d0) / (d1 - d0 || 1)) * (r1 - r0);
  scale.invert = (pixel) => d0 + ((pixel - r0) / (r1 - r0 || 1)) * (d1 - d0);
  return scale;
};

/** Return about `n` round values within a domain. */
export const ticks = ([low, high], n = 5) => {
  const rough = (high - low) / n || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.8);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, place) => Number(((first + place) * step).toFixed(10)));
};
