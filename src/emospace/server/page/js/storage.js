// What the page remembers; a browser may refuse, and then it remembers nothing.

const attempt = (work) => {
  try {
    return work();
  } catch {
    return null;
  }
};

export const recall = (name) => attempt(() => localStorage.getItem(`emospace.${name}`));
export const remember = (name, value) => attempt(() => localStorage.setItem(`emospace.${name}`, value));

// A key is kept for the tab alone.
export const recallKey = () => attempt(() => sessionStorage.getItem("emospace.key"));
export const rememberKey = (key) => attempt(() => sessionStorage.setItem("emospace.key", key));
