// The three answers of a run in one language: as a whole, then of each rating and of the arrangement of categories.

import { h } from "../dom.js";
import { isSpoken, known, spoken, t } from "../words.js";
import { setName, structureName, targetName } from "./names.js";

const QUESTIONS = { there: "answers.there", in_features: "answers.in_features", beyond_embeddings: "answers.beyond_embeddings" };
const ANSWERS = { yes: "answers.yes", partly: "answers.partly", "not shown": "answers.not_shown" };

/** Make the part in `box`. Returns `{show(scene)}`. */
export const makeAnswers = (box) => {
  const body = h("tbody");
  const head = h("tr", {}, ["answers.of", ...Object.values(QUESTIONS)].map((key) => h("th", { scope: "col", t: key })));
  const why = h("p", { class: "note" });
  box.append(h("div", { class: "table", tabindex: 0, role: "region", "t-label": "space.answers" }, h("table", {}, h("thead", {}, head), body)), h("p", { class: "note", t: "answers.note" }), why);

  const cell = (record) => h("td", {}, record.answer === null ? "–" : t(ANSWERS[record.answer]), ...[["answers.more", true], ["answers.not_more", false]].map(([key, beyond]) => against(record, key, beyond)));
  return {
    show: ({ run, language }) => {
      const mine = run.answers.filter((record) => record.language === language);
      const answer = (about, question) => mine.find((record) => record.about === about && record.question === question);
      const row = (about) => h("tr", {}, h("th", { scope: "row" }, aboutName(about)), Object.keys(QUESTIONS).map((question) => cell(answer(about, question))));
      body.replaceChildren(...[...new Set(mine.map((record) => record.about))].map(row));
      const reasons = [...new Set(mine.filter((record) => record.answer === null).map((record) => record.reason))];
      why.replaceChildren(...reasons.map((reason) => h("span", { lang: isSpoken(reason) ? null : "en" }, `–: ${spoken(reason)} `)));
    },
  };
};

const aboutName = (about) => (about === null ? t("answers.whole") : known(`axis.${about}`) ? targetName(about) : structureName(about));

const against = (record, key, beyond) => {
  const names = Object.keys(record.beyond).filter((name) => record.beyond[name] === beyond);
  return names.length ? h("div", { class: "note" }, t(key, { list: names.map((name) => (name === "chance" ? t("answers.chance") : setName({ features: name }))).join("; ") })) : null;
};
