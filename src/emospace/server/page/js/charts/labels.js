// Names beside points so that none overlap: each takes the nearest free spot, or stays on hover alone.

const measure = document.createElement("canvas").getContext("2d");
const crosses = (a, b) => a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;
const TURNS = [0, 8, 4, 12, 2, 14, 6, 10, 1, 15, 7, 9, 3, 13, 5, 11].map((turn) => (turn * Math.PI) / 8);

/** Return the width of a text in pixels. */
export const widthOf = (text, size, bold = false) => {
  measure.font = `${bold ? 700 : 400} ${size}px ${getComputedStyle(document.body).fontFamily}`;
  return measure.measureText(text).width;
};

/**
 * Place the labels of points `{x, y, text, bold}` within a plot of `width` by `height`.
 *
 * `reserved` are boxes that other words hold, `others` more points to keep clear of. Returns for each point `{x, y, far}`, the middle of its label and whether it needs a line, or null.
 */
export const placeLabels = (points, width, height, size, { reachMost = 56, reserved = [], others = [] } = {}) => {
  const dots = [...points, ...others].map(({ x, y }) => ({ x0: x - 6, x1: x + 6, y0: y - 6, y1: y + 6 }));
  const crowd = ({ x, y }) => points.filter((other) => Math.hypot(x - other.x, y - other.y) < 40).length;
  const order = points.map((point, at) => ({ ...point, at, crowd: crowd(point) })).sort((a, b) => b.bold - a.bold || a.crowd - b.crowd);
  const taken = [...reserved];
  const spots = points.map(() => null);
  for (const point of order) {
    const half = widthOf(point.text, size, point.bold) / 2 + 2;
    const tall = size * 0.62;
    const spot = freeSpot(point, half, tall, { width, height, taken, dots, reachMost });
    if (!spot) continue;
    taken.push(spot.box);
    spots[point.at] = spot;
  }
  return spots;
};

const freeSpot = (point, half, tall, { width, height, taken, dots, reachMost }) => {
  for (let reach = 4; reach <= reachMost; reach += 6) {
    for (const angle of TURNS) {
      const x = point.x + Math.cos(angle) * (half + 4 + reach);
      const y = point.y - Math.sin(angle) * (tall + 4 + reach);
      const box = { x0: x - half, x1: x + half, y0: y - tall, y1: y + tall };
      const inside = box.x0 >= 0 && box.x1 <= width && box.y0 >= 0 && box.y1 <= height;
      if (inside && ![...taken, ...dots].some((other) => crosses(box, other))) return { x, y, box, far: reach > 12 };
    }
  }
  return null;
};
