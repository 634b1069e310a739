// The setting of each view in the address (`#/steer?v=.6&a=.3`), so that it can be shared and comes back.

export const VIEWS = ["steer", "read", "space", "compare"];

/** Return the view that the address names and its setting. */
export const place = () => {
  const [view, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: VIEWS.includes(view) ? view : VIEWS[0], setting: new URLSearchParams(query) };
};

// A browser refuses an address that changes with every movement of a pointer.
const PAUSE = 150;
let pending = null;
let waiting = 0;

/** Put a view's setting in the address, shortly; empty values are left out. */
export const write = (view, setting) => {
  pending = [view, setting];
  clearTimeout(waiting);
  waiting = setTimeout(settle, PAUSE);
};

/** Put in the address what still waits to be put there. */
export const settle = () => {
  clearTimeout(waiting);
  const [view, setting] = pending ?? [];
  pending = null;
  if (place().view !== view) return;
  const given = Object.entries(setting).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  history.replaceState(null, "", `#/${view}${query ? `?${query}` : ""}`);
};

/** Return a number of a setting, or `otherwise` where it is none. */
export const numberOf = (setting, name, otherwise = null) => {
  const text = setting.get(name);
  return text === null || text === "" || !Number.isFinite(Number(text)) ? otherwise : Number(text);
};
