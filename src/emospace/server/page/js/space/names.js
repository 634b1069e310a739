// Names of what a study compares, in the page's language; what it does not know is said plainly.

import { known, languageName, t } from "../words.js";

const plain = (name) => String(name).replaceAll("_", " ");

/** Feature sets in the order of the bars. */
export const SETS = [
  "space", "shared", "specific", "outside", "outside_shared", "outside_random", "top_firing", "shuffled", "all", "dense", "static",
  "static_concepts", "static_pcs", "dense_static", "space_static", "surface",
];

export const setName = (record) => {
  const name = known(`set.${record.features}`) ? t(`set.${record.features}`) : plain(record.features);
  return record.static_source ? `${name}, ${sourceName(record.static_source)}` : name;
};

/** Return what embeddings are made of, or what a figure is held against; both are written in English in results. */
export const sourceName = (source) => {
  const key = `source.${source.toLowerCase().replace(/\W+/g, "_")}`;
  return known(key) ? t(key) : plain(source);
};

export const structureName = (against) => {
  const [name, variant] = against.split("/");
  const written = known(`structure.${name}`) ? t(`structure.${name}`) : plain(name);
  const family = `structure.${variant?.replaceAll("-", "_")}`;
  return variant ? `${written}, ${variant.length === 2 ? languageName(variant) : known(family) ? t(family) : plain(variant)}` : written;
};

export const targetName = (target) => (known(`axis.${target}`) ? t(`axis.${target}`) : plain(target));
