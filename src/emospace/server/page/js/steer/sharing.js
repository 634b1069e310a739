// The setting to take away: as an address, as Python, as curl.

import { settle } from "../address.js";
import { h } from "../dom.js";
import { onLanguage, t } from "../words.js";
import { asCurl, asPython, copy } from "./snippets.js";

/** Make the section; `request` gives what would be sent. Returns `{node, update}`. */
export const makeSharing = (request) => {
  let form = "python";
  const code = h("code");
  const block = h("pre", { tabindex: 0, role: "region", "t-label": "share.code" }, code);
  const status = h("span", { class: "note", role: "status" });
  const switches = ["python", "curl"].map((name) =>
    h("label", {}, h("input", { type: "radio", name: "form", value: name, checked: name === form }), h("span", {}, name === "python" ? "Python" : "curl")),
  );
  const choice = h(
    "fieldset",
    { class: "switch", onchange: (event) => { form = event.target.value; update(); } },
    h("legend", { class: "unseen", t: "share.form" }),
    switches,
  );
  const give = async (text) => {
    const done = await copy(text);
    status.textContent = t(done ? "share.copied" : "share.by_hand");
    if (!done) getSelection().selectAllChildren(code);
  };
  const node = h(
    "section",
    { class: "part share" },
    h("h2", { t: "share.name" }),
    h(
      "div",
      { class: "row" },
      choice,
      h("button", { type: "button", class: "button", t: "share.copy", onclick: () => give(code.textContent) }),
      h("button", { type: "button", class: "button", t: "share.link", onclick: () => { settle(); give(location.href); } }),
      status,
    ),
    block,
  );
  const update = () => {
    code.textContent = (form === "python" ? asPython : asCurl)(request());
    status.textContent = "";
  };
  onLanguage(() => (status.textContent = ""));
  return { node, update };
};
