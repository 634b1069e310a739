// Draws the report's figures with Plotly, in the report and on the server's page: colours are CSS variables, names never overlap.

const measure = document.createElement("canvas").getContext("2d");
const crosses = (a, b) => a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;
const TURNS = [0, 8, 4, 12, 2, 14, 6, 10, 1, 15, 7, 9, 3, 13, 5, 11].map((turn) => (turn * Math.PI) / 8);
const NARROW = 360;
const WRAPPED = 560;
const ROW_FONT = [8, 10.5];
const ROWS_WIDTH = 136; // as page.css has it

const family = () => getComputedStyle(document.body).fontFamily;

/** Return the width of a text in pixels. */
export const widthOf = (text, size, bold = false) => {
  measure.font = `${bold ? 700 : 400} ${size}px ${family()}`;
  return measure.measureText(text).width;
};

/**
 * Place the labels of points `{x, y, text, bold}` within a plot of `width` by `height`, each at the nearest free spot.
 *
 * `reserved` are boxes that other words hold, `others` more points to keep clear of. Returns for each point `{x, y, far}`, the middle of its label and whether it needs a line, or null where there is no room.
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

// An element's own colour is resolved by the browser, light or dark; the value of a variable is not.
const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);
const colour = (name) => {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
};

const resolve = (value) => {
  if (typeof value === "string") return value.startsWith("var(--") ? colour(value.slice(4, -1)) : value;
  if (Array.isArray(value)) return value.map(resolve);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolve(inner)]));
  return value;
};

const merge = (base, over) => {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const both = value && base[key] && !Array.isArray(value) && typeof value === "object";
    merged[key] = both ? merge(base[key], value) : value;
  }
  return merged;
};

const common = () => {
  const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--quiet"), linecolor: colour("--line"), fixedrange: true, title: { standoff: 8 } };
  const font = (size) => ({ family: family(), size, color: colour("--ink") });
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: font(12),
    hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: font(13), align: "left" },
    margin: { l: 52, r: 12, t: 12, b: 46 }, xaxis: axis, yaxis: axis, showlegend: false, dragmode: false, hovermode: "closest",
  };
};

// Rows and columns are named, every second or third where there is no room for all; rows in a row of figures by the first.
const nameRows = (plot, layout, names, named) => {
  const long = Math.ceil(Math.max(...names.map((name) => widthOf(name, ROW_FONT[1])))) + 10;
  layout.margin = { ...layout.margin, l: named ? ROWS_WIDTH : 4, b: long };
  const pitch = (plot.clientWidth - layout.margin.l - layout.margin.r) / names.length;
  const size = Math.max(ROW_FONT[0], Math.min(ROW_FONT[1], pitch));
  const every = Math.max(1, Math.ceil((size * 0.95) / pitch));
  const written = names.filter((_, at) => at % every === 0);
  for (const axis of [layout.xaxis, layout.yaxis]) Object.assign(axis, { ticks: "", tickmode: "array", tickvals: written, ticktext: written, tickfont: { size } });
  layout.xaxis.tickangle = -90;
  layout.yaxis.showticklabels = named;
};

// On a phone a long name takes several lines, so that the drawing keeps some width.
const wrapRows = (layout) => {
  const { yaxis } = layout;
  yaxis.ticktext = yaxis.ticktext.map((name) => name.replaceAll(", ", ",<br>"));
  yaxis.tickfont = { size: 9.5 };
};

const nameDots = (labels, data, layout) => {
  const { l, r, t, b } = layout.margin;
  const [width, height] = [layout.width - l - r, layout.height - t - b];
  const [[x0, x1], [y0, y1]] = [layout.xaxis.range, layout.yaxis.range];
  const placed = (x, y) => ({ x: ((x - x0) / (x1 - x0)) * width, y: (1 - (y - y0) / (y1 - y0)) * height });
  const points = labels.map((label, at) => {
    const [x, y] = [label.x ?? data[0].x[at], label.y ?? data[0].y[at]];
    return { ...label, at: [x, y], ...placed(x, y) };
  });
  const others = data.filter(({ mode }) => mode === "markers").flatMap(({ x, y }) => x.map((value, at) => placed(value, y[at])));
  const narrow = width < NARROW;
  const size = narrow ? 10 : 11.5;
  const spots = placeLabels(points, width, height, size, { reachMost: narrow ? 40 : 64, others });
  return points.flatMap((point, at) => {
    const spot = spots[at];
    if (!spot) return [];
    return {
      x: point.at[0], y: point.at[1], ax: spot.x - point.x, ay: spot.y - point.y, text: point.bold ? `<b>${point.text}</b>` : point.text,
      font: { size }, showarrow: true, arrowhead: 0, arrowwidth: 0.8, arrowcolor: spot.far ? colour("--quiet") : "rgba(0,0,0,0)",
      standoff: 4, borderpad: 0, xanchor: "center", yanchor: "middle", captureevents: false,
    };
  });
};

/**
 * Draw a figure in a node that has a width; `chart` is `{variants, shape, height, options}`, `variant` the key of one.
 *
 * `named` says whether the rows of a matrix are named here, and not by the figure before it.
 */
export const drawFigure = (plot, chart, variant = "", named = true) => {
  const drawing = chart.variants[variant] ?? Object.values(chart.variants)[0];
  const data = resolve(drawing.data);
  const layout = merge(common(), resolve(drawing.layout));
  const { rows, labels } = { ...chart.options, ...(drawing.labels && { labels: drawing.labels }) };
  if (rows) nameRows(plot, layout, rows, named);
  else if (layout.yaxis.ticktext && plot.clientWidth < WRAPPED) wrapRows(layout);
  if (chart.shape === "square") {
    const { l, r, t, b } = layout.margin;
    layout.height = Math.round(plot.clientWidth - l - r + t + b);
    plot.style.height = `${layout.height}px`;
    plot.style.aspectRatio = "auto";
  } else {
    layout.height = plot.clientHeight;
  }
  layout.width = plot.clientWidth;
  if (labels) layout.annotations = nameDots(labels, data, layout);
  plot.dataset.width = layout.width;
  const drawn = globalThis.Plotly.react(plot, data, layout, { displayModeBar: false, responsive: false });
  // The node's own label stands for what is inside; Plotly measures text in a drawing of no meaning.
  for (const inside of [plot.querySelector(".plot-container"), document.getElementById("js-plotly-tester")]) inside?.setAttribute("aria-hidden", "true");
  return drawn;
};
