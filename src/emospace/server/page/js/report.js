// Figures of the report: in the page's language, drawn with Plotly, which is fetched when the first is shown.

import { framed, h } from "./dom.js";
import { drawFigure } from "./figures.js";
import { currentLanguage, isSpoken, spoken, t } from "./words.js";

const TEXTS = new Set(["text", "hovertext", "hovertemplate", "name", "ticktext", "tickvals", "categoryarray", "x", "y", "customdata", "rows"]);

let loading = null;

// The bundle brings a style sheet for maps, which the page has none of and its policy forbids: it is left out.
const plotly = () =>
  (loading ??= new Promise((done, fail) => {
    const { head } = document;
    const script = h("script", {
      src: "js/plotly.min.js",
      onload: () => {
        delete head.appendChild;
        done();
      },
      onerror: () => {
        delete head.appendChild;
        loading = null;
        fail(new Error("js/plotly.min.js"));
      },
    });
    head.append(script);
    head.appendChild = (node) => (node.localName === "style" ? node : Node.prototype.appendChild.call(head, node));
  }));

const inLanguage = (value, key, kept) => {
  if (typeof value === "string") return TEXTS.has(key) && key !== kept ? spoken(value) : value;
  if (Array.isArray(value)) return value.map((item) => inLanguage(item, key, kept));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, inLanguage(inner, name, kept)]));
  return value;
};

/** Return what is drawn of a figure; words that people rated stay in the language they were rated in. */
const drawnOf = ({ variants, shape, height, options }) => ({ shape, height, ...inLanguage({ variants, options }, "", options.lang ? "hovertext" : "") });

/** Return the sentences of a caption that can be said in the page's language. */
const said = (caption) =>
  caption.split(/(?<=\.) (?=[A-Z])/).filter((sentence) => currentLanguage() === "en" || isSpoken(sentence)).map(spoken).join(" ");

/** Make a grid of figures in `box`. Returns `{show(figures, {variant, headed, captioned})}`; `figures` are those of the API. */
export const makeFigures = (box) => {
  box.classList.add("figures");
  const kept = new Map();

  const draw = async () => {
    if (!kept.size) return;
    await plotly();
    for (const { plot, chart, variant } of kept.values()) if (plot.clientWidth) drawFigure(plot, chart, variant);
  };
  const later = framed(draw);
  new ResizeObserver(later).observe(box);
  new MutationObserver(later).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);

  const nodesOf = (key) => {
    const [heading, caption] = [h("h3"), h("figcaption")];
    const plot = h("div", { class: "plot", role: "img", "data-figure": key });
    return { heading, caption, plot, node: h("figure", {}, heading, plot, caption) };
  };
  return {
    show: async (figures, { variant = "", headed = true, captioned = true } = {}) => {
      for (const key of [...kept.keys()]) if (!figures.some((figure) => figure.key === key)) kept.delete(key);
      for (const figure of figures) {
        const item = kept.get(figure.key) ?? nodesOf(figure.key);
        const caption = said(figure.caption);
        Object.assign(item, { chart: drawnOf(figure), variant });
        item.heading.textContent = spoken(figure.heading);
        item.heading.hidden = !headed;
        item.caption.textContent = captioned ? caption : "";
        item.plot.setAttribute("aria-label", currentLanguage() === "en" ? figure.alt : t("figure.alt", { name: spoken(figure.heading), caption }));
        if (figure.shape !== "square") item.plot.style.height = `${figure.height}px`;
        kept.set(figure.key, item);
      }
      box.replaceChildren(...figures.map(({ key }) => kept.get(key).node));
      await draw();
    },
  };
};

/** Return why figures are missing as notes. */
export const missing = (reasons) => reasons.map(({ what, why }) => h("p", { class: "note", lang: "en" }, `${what}: ${why}.`));
