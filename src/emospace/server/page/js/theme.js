"use strict";
// Before the first paint, so that a chosen scheme does not flash; storage may be closed to us.
(() => {
  try {
    const theme = localStorage.getItem("emospace.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch { /* the system's scheme */ }
})();
