// What a person reads when a request fails: what happened, and what to do.

import { forget } from "./api.js";
import { h } from "./dom.js";
import { rememberKey } from "./storage.js";
import { t } from "./words.js";

/** Return a failure as a sentence. */
export const sentence = (error) => {
  const kind = error.kind ?? "page";
  const wait = error.retryAfter ? ` ${t("trouble.wait", { seconds: error.retryAfter })}` : "";
  return `${t(`trouble.${kind}`)}${wait}`;
};

/** Show a failure in `box` (role alert), with a field for a key where one is asked for and a way to try again. */
export const showTrouble = (box, error, again = null) => {
  const parts = [h("p", {}, sentence(error))];
  if (error.message) parts.push(h("p", { class: "note" }, error.message));
  if (error.kind === "key") parts.push(keyForm(again));
  else if (again) parts.push(h("p", {}, h("button", { type: "button", class: "link", onclick: again }, t("trouble.again"))));
  box.replaceChildren(h("div", { class: "reason" }, parts));
};

const keyForm = (again) => {
  const input = h("input", { type: "password", autocomplete: "off", name: "key" });
  return h(
    "form",
    {
      class: "row",
      onsubmit: (event) => {
        event.preventDefault();
        rememberKey(input.value.trim());
        forget();
        again?.();
      },
    },
    h("label", { class: "inline" }, t("trouble.key_label"), input),
    h("button", { class: "button" }, t("trouble.key_use")),
  );
};
