// The page: one view at a time, each made when first seen and kept; the address says which.

import { place, VIEWS } from "./address.js";
import { h } from "./dom.js";
import { remember } from "./storage.js";
import { choose, currentLanguage, LANGUAGES, onLanguage, speak, t, translate, wantedLanguage } from "./words.js";

const main = document.getElementById("main");
const themeButton = document.getElementById("theme");
const languageButton = document.getElementById("language");
const made = new Map();

const show = async () => {
  const { view, setting } = place();
  for (const name of VIEWS) {
    const link = document.querySelector(`nav a[href="#/${name}"]`);
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!made.has(view)) {
    const node = h("div", { class: `view ${view}` });
    made.set(view, { node, view: null });
    main.append(node);
    const { make } = await import(`./${view}/view.js`);
    made.get(view).view = make(node);
    translate(node);
  }
  for (const [name, { node }] of made) node.hidden = name !== view;
  document.title = `${t(`${view}.name`)} · emospace`;
  made.get(view).view?.restore(setting);
};

const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

const nameTools = () => {
  themeButton.textContent = dark() ? t("page.light") : t("page.dark");
  const other = currentLanguage() === "zh" ? "en" : "zh";
  languageButton.textContent = LANGUAGES[other];
  languageButton.lang = other;
};

themeButton.addEventListener("click", () => {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  remember("theme", document.documentElement.dataset.theme);
  nameTools();
});
languageButton.addEventListener("click", () => choose(currentLanguage() === "zh" ? "en" : "zh"));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTools);
onLanguage(() => {
  nameTools();
  document.title = `${t(`${place().view}.name`)} · emospace`;
});
addEventListener("hashchange", show);

await speak(wantedLanguage());
await show();
document.documentElement.dataset.ready = "yes";
