// The search box, its keys, and the choice of the palette. Texts become nodes by textContent alone.
"use strict";
(() => {
  const root = document.documentElement;
  const prefix = root.dataset.root || "";
  const box = document.getElementById("search");
  const list = document.getElementById("results");
  const MAX_RESULTS = 40;

  const entries = (window.plainsqlSearch || []).map(([kind, name, about, page, words]) => ({
    kind,
    name,
    about,
    page,
    low: name.toLowerCase(),
    last: name.slice(name.lastIndexOf(".") + 1).toLowerCase(),
    rest: `${about} ${words}`.toLowerCase(),
  }));
  const order = { query: 0, table: 1, migration: 2, index: 3 };

  // The score of an entry for one word; 0 if it has it nowhere.
  const score = (entry, word) => {
    if (entry.low === word || entry.last === word) return 100;
    if (entry.last.startsWith(word)) return 60;
    if (entry.low.startsWith(word)) return 50;
    const at = entry.low.indexOf(word);
    if (at > 0) return "._/".includes(entry.low[at - 1]) ? 40 : 25;
    const inside = entry.rest.indexOf(word);
    if (inside < 0) return 0;
    return inside === 0 || " ._".includes(entry.rest[inside - 1]) ? 10 : 4;
  };

  const find = (text) => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const found = [];
    for (const entry of entries) {
      // Each word counts: an entry that has one of them nowhere is none.
      const total = words.reduce((product, word) => product * score(entry, word), 1);
      // An index has the name of its table and columns: they come first.
      if (total) found.push([entry.kind === "index" ? total / 3 : total, entry]);
    }
    found.sort(
      ([a, x], [b, y]) =>
        b - a || order[x.kind] - order[y.kind] || x.name.length - y.name.length || (x.name < y.name ? -1 : 1),
    );
    return found.slice(0, MAX_RESULTS).map(([, entry]) => entry);
  };

  let chosen = -1;

  const choose = (index) => {
    const items = list.children;
    if (chosen >= 0 && items[chosen]) items[chosen].removeAttribute("aria-selected");
    chosen = index;
    if (chosen >= 0 && items[chosen]) {
      items[chosen].setAttribute("aria-selected", "true");
      items[chosen].scrollIntoView({ block: "nearest" });
      box.setAttribute("aria-activedescendant", items[chosen].id);
    } else {
      box.removeAttribute("aria-activedescendant");
    }
  };

  const node = (tag, style, text) => {
    const made = document.createElement(tag);
    made.className = style;
    made.textContent = text;
    return made;
  };

  const close = () => {
    list.hidden = true;
    box.setAttribute("aria-expanded", "false");
    choose(-1);
  };

  const show = () => {
    const found = find(box.value);
    chosen = -1;
    list.replaceChildren();
    found.forEach((entry, index) => {
      const item = document.createElement("li");
      item.id = `result-${index}`;
      item.setAttribute("role", "option");
      const link = document.createElement("a");
      link.href = prefix + entry.page;
      link.tabIndex = -1;
      link.append(
        node("span", `kind ${entry.kind}`, entry.kind),
        node("span", "name", entry.name),
        node("span", "about", entry.about),
      );
      item.append(link);
      list.append(item);
    });
    if (!found.length && box.value.trim()) {
      const none = node("li", "none", "nothing found");
      none.setAttribute("role", "presentation");
      list.append(none);
    }
    list.hidden = !box.value.trim();
    box.setAttribute("aria-expanded", String(!list.hidden));
    choose(found.length ? 0 : -1);
  };

  box.addEventListener("input", show);
  box.addEventListener("focus", () => box.value && show());
  box.addEventListener("keydown", (event) => {
    const count = list.querySelectorAll("[role=option]").length;
    if (event.key === "ArrowDown" && count) {
      event.preventDefault();
      choose((chosen + 1) % count);
    } else if (event.key === "ArrowUp" && count) {
      event.preventDefault();
      choose((chosen - 1 + count) % count);
    } else if (event.key === "Enter" && !list.hidden && chosen >= 0) {
      event.preventDefault();
      list.children[chosen].querySelector("a").click();
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (list.hidden) box.blur();
      close();
    }
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".search")) close();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input, textarea, select, [contenteditable]");
    const slash = event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey;
    if ((slash && !typing) || (event.key === "k" && (event.ctrlKey || event.metaKey))) {
      event.preventDefault();
      box.focus();
      box.select();
    }
  });

  const button = document.getElementById("theme");
  const themes = ["", "light", "dark"];
  const names = { "": "as the system", light: "light", dark: "dark" };
  const label = () => {
    button.setAttribute("aria-label", `Colours: ${names[root.dataset.theme || ""]}`);
    button.title = button.getAttribute("aria-label");
  };
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme || "") + 1) % themes.length];
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    try {
      if (next) localStorage.setItem("plainsql-theme", next);
      else localStorage.removeItem("plainsql-theme");
    } catch {
      // The choice holds for this page.
    }
    label();
  });
  label();

  // A link to an anchor inside closed details opens them.
  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  };
  addEventListener("hashchange", reveal);
  reveal();
})();
