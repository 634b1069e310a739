// Numbers as the report writes them: r without its leading zero, true minus signs, a dash for none.

export const DASH = "–";
const none = (value) => value === null || value === undefined || !Number.isFinite(value);

/** Write a correlation: `.78`, `−.05`, `1.00`. */
export const figure = (value, digits = 2) => {
  if (none(value)) return DASH;
  const text = Math.abs(value).toFixed(digits).replace(/^0\./, ".");
  return value < 0 && Number(value.toFixed(digits)) !== 0 ? `−${text}` : text;
};

/** Write a plain number: `1,204.50`, `−0.3`. */
export const number = (value, digits = 2) =>
  none(value) ? DASH : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−").replace(/^−(0(\.0+)?)$/, "$1");

/** Write a count: `13,915`. */
export const count = (value) => (none(value) ? DASH : value.toLocaleString("en"));

/** Write a number with its sign: `+.43`, `−.12`. */
export const signed = (value, digits = 2) => (none(value) ? DASH : Number(value.toFixed(digits)) > 0 ? `+${figure(value, digits)}` : figure(value, digits));

/** Write an interval: `.76 to .79`; the word between them is the caller's. */
export const interval = (low, high, between) => (none(low) || none(high) ? "" : `${figure(low)} ${between} ${figure(high)}`);

/** Write a p value with its sign: `p < .001`. */
export const pClause = (p) => (none(p) ? "" : p < 0.001 ? "p < .001" : `p = ${figure(p, p < 0.1 ? 3 : 2)}`);

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
