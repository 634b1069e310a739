// The page's words in the languages it speaks; elements carry the name of theirs, so that a switch keeps all work.

import { recall, remember } from "./storage.js";

export const LANGUAGES = { en: "English", zh: "中文" };

const OF_FIGURES = /^(emotion|set|source|structure|axis|figure)\.|^to$/;
// What stands between the words of a label: first what parts names, then what a name may hold.
const BETWEEN = [/(<[^>]*>|%\{[^}]*\}|[:;()<>×–·]+|[−+-]?\.?\d[\d.,]*%?)/, /([.,=]+)/];

let words = {};
let language = "en";
let english = new Map();
const met = new Set();
const followers = [];

/** Return the word or sentence of a key; `{name}` in it is filled in. */
export const t = (key, given = {}) =>
  (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => (name in given ? String(given[name]) : whole));

/** Return whether there is a word of that key. */
export const known = (key) => key in words;

/** Return an emotion's name in the page's language. */
export const emotionName = (name) => words[`emotion.${name}`] ?? String(name).replaceAll("_", " ");

/** Return a language's name in the page's language. */
export const languageName = (code) => {
  met.add(code);
  try {
    return new Intl.DisplayNames([language], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
};

const piece = (text) => {
  const known = english.get(text.trim().toLowerCase());
  return known === undefined ? undefined : text.replace(text.trim(), known);
};

const nameLanguages = () => {
  const names = new Intl.DisplayNames(["en"], { type: "language" });
  for (const code of met) english.set(names.of(code).toLowerCase(), languageName(code));
};

/** Return a text in known pieces `[text, known]`, as long as can be; what stands between them is known. */
const pieces = (text, [between, ...finer] = BETWEEN) => {
  const known = text.trim() ? piece(text) : text;
  if (known !== undefined) return [[known, true]];
  if (!between) return [[text, false]];
  return text.split(between).flatMap((part, at) => (at % 2 ? [[part, true]] : pieces(part, finer)));
};

/** Return a label of a figure, which results hold in English, in the page's language; what it does not know stays. */
export const spoken = (text) => {
  if (language === "en") return text;
  nameLanguages();
  return pieces(text).map(([part]) => part).join("");
};

/** Return whether every word of a label is known in the page's language. */
export const isSpoken = (text) => pieces(text).every(([, known]) => known);

export const currentLanguage = () => language;

/** Fill in the words of every element below `root` that names some. */
export const translate = (root) => {
  const nodes = [root, ...root.querySelectorAll("[data-t], [data-t-label], [data-t-placeholder], [data-t-title]")];
  for (const node of nodes) {
    if (!node.dataset) continue;
    if (node.dataset.t) node.textContent = t(node.dataset.t);
    if (node.dataset.tLabel) node.setAttribute("aria-label", t(node.dataset.tLabel));
    if (node.dataset.tPlaceholder) node.setAttribute("placeholder", t(node.dataset.tPlaceholder));
    if (node.dataset.tTitle) node.setAttribute("title", t(node.dataset.tTitle));
  }
};

/** Call `follow` after each change of language. */
export const onLanguage = (follow) => followers.push(follow);

const load = async (code) => {
  const answer = await fetch(`i18n/${code}.json`);
  if (!answer.ok) throw new Error(`i18n/${code}.json: ${answer.status}`);
  return answer.json();
};

/** Load a language's words and put them on the page. */
export const speak = async (code) => {
  const wanted = code in LANGUAGES ? code : "en";
  const [given, inEnglish] = await Promise.all([load(wanted), load("en")]);
  words = given;
  english = new Map(Object.keys(words).filter((key) => OF_FIGURES.test(key)).map((key) => [inEnglish[key].toLowerCase(), words[key]]));
  language = wanted;
  document.documentElement.lang = wanted === "zh" ? "zh-Hans" : wanted;
  translate(document.body);
  for (const follow of followers) follow();
};

/** Return the language asked for in the address, chosen before, or the browser's. */
export const wantedLanguage = () => {
  const asked = new URLSearchParams(location.search).get("lang");
  if (asked in LANGUAGES) return asked;
  const chosen = recall("lang");
  if (chosen in LANGUAGES) return chosen;
  return navigator.languages?.some((code) => code.startsWith("zh")) && !navigator.language.startsWith("en") ? "zh" : "en";
};

/** Speak a language from now on, and say so in the address so that it can be shared. */
export const choose = async (code) => {
  remember("lang", code);
  const address = new URL(location.href);
  address.searchParams.set("lang", code);
  history.replaceState(null, "", address);
  await speak(code);
};
