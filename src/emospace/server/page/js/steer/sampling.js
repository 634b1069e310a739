// How answers are drawn: length, seed, temperature, and the tokens that are steered.

import { numberOf } from "../address.js";
import { h } from "../dom.js";
import { clamp } from "../numbers.js";

const USUAL = { tokens: 80, seed: 1, temperature: 0.8 };

/** Make the settings of sampling. Returns `{node, fields, scope, setting, restore, limit}`. */
export const makeSampling = (change) => {
  const box = (name, attributes) => h("input", { type: "number", name, required: true, onchange: change, value: USUAL[name], ...attributes });
  const tokens = box("tokens", { min: 1, max: 1024 });
  const seed = box("seed", { min: 0, max: 2147483647 });
  const temperature = box("temperature", { min: 0, max: 2, step: 0.1 });
  const scope = h(
    "select",
    { name: "scope", onchange: change },
    ...["", "all", "prompt", "response"].map((value) => h("option", { value, t: `scope.${value || "usual"}` })),
  );
  const field = (key, input) => h("label", { class: "field" }, h("span", { t: key }), h("br"), input);
  const node = h(
    "details",
    {},
    h("summary", { t: "sampling.name" }),
    h("div", { class: "row boxes" }, field("sampling.tokens", tokens), field("sampling.seed", seed), field("sampling.temperature", temperature), field("sampling.scope", scope)),
  );
  const valueOf = (input, name) => (input.value === "" ? USUAL[name] : clamp(Number(input.value), Number(input.min), Number(input.max)));
  const values = () => ({
    tokens: Math.round(valueOf(tokens, "tokens")), seed: Math.round(valueOf(seed, "seed")), temperature: valueOf(temperature, "temperature"),
  });
  return {
    node,
    fields: () => ({ max_tokens: values().tokens, temperature: values().temperature, seed: values().seed }),
    scope: () => (scope.value ? { scope: scope.value } : {}),
    // What is as usual need not be in the address.
    setting: () => ({
      ...Object.fromEntries(Object.entries(values()).filter(([name, value]) => value !== USUAL[name])),
      scope: scope.value,
    }),
    restore: (setting) => {
      for (const [name, input] of Object.entries({ tokens, seed, temperature })) input.value = numberOf(setting, name, Number(input.value));
      if (["all", "prompt", "response"].includes(setting.get("scope"))) scope.value = setting.get("scope");
    },
    limit: (most) => {
      if (most) tokens.max = most;
    },
  };
};
