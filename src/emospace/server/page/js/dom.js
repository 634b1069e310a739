// Elements in one call, without markup in strings: nothing that came from the server or a person is parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

const fill = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "t") node.dataset.t = value;
    else if (name.startsWith("t-")) node.setAttribute(`data-${name}`, value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
};

/** Make an HTML element: `h("p", {class: "note", t: "key"}, ...)`; `t` and `t-label` name translated text. */
export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

/** Make an SVG element. */
export const s = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** Call `work` no more than once a frame. */
export const framed = (work) => {
  let waiting = 0;
  return () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(work);
  };
};

/** Call `work` when `calls` have paused for `delay` milliseconds. */
export const paused = (work, delay) => {
  let waiting = 0;
  return (...given) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => work(...given), delay);
  };
};

let last = 0;

/** Return an id no other element has. */
export const freshId = (stem) => `${stem}-${(last += 1)}`;

/** Redraw when the node gets a width, or another one. */
export const onWidth = (node, draw) => {
  let width = 0;
  new ResizeObserver(framed(() => {
    if (!node.clientWidth || node.clientWidth === width) return;
    width = node.clientWidth;
    draw(width);
  })).observe(node);
};
