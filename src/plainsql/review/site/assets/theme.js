// Runs before the page is drawn: a chosen palette shows no flash of the other one.
"use strict";
(() => {
  const root = document.documentElement;
  let stored = null;
  try {
    stored = localStorage.getItem("plainsql-theme");
  } catch {
    // A page that is opened from a file may have no storage.
  }
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;
})();
