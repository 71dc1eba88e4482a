"use strict";
// Everything on these pages is there without this: it filters, opens what a link points at, opens
// all for print, and lets arrow keys walk through a matrix.
(() => {
  const form = document.getElementById("filter");
  const requirements = [...document.querySelectorAll(".requirement")];
  const all = [...document.querySelectorAll("details")];

  const filter = () => {
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdict = form.elements.verdict.value;
    const profile = form.elements.profile.value;
    let shown = 0;
    for (const one of requirements) {
      const data = one.dataset;
      const text = one.textContent.toLowerCase();
      const fits =
        (!verdict || data.verdict === verdict || data.red === verdict) &&
        (!profile || data.profiles.split(" ").includes(profile)) &&
        words.every((word) => text.includes(word));
      one.hidden = !fits;
      shown += fits;
    }
    for (const chapter of document.querySelectorAll(".chapter")) {
      chapter.hidden = !chapter.querySelector(".requirement:not([hidden])");
    }
    form.elements.shown.value = `${shown} of ${requirements.length} shown`;
  };

  if (form) {
    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    form.elements.open.addEventListener("click", ({ target }) => {
      const open = target.textContent === "Open all";
      for (const one of requirements) if (!one.hidden) one.open = open;
      target.textContent = open ? "Close all" : "Open all";
    });
    filter();
  }

  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let one = target; one; one = one.parentElement) {
      if (one.hidden) one.hidden = false;
      if (one instanceof HTMLDetailsElement) one.open = true;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all.filter((one) => !one.open);
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });

  // Of a matrix one cell at a time is in the order of the Tab key; arrow keys go to the others.
  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  for (const table of document.querySelectorAll("table.matrix")) {
    const rows = [...table.querySelectorAll("tr.cells")].map((row) => [
      ...row.querySelectorAll(".cell"),
    ]);
    rows.forEach((row, y) => row.forEach((cell, x) => {
      cell.tabIndex = x || y ? -1 : 0;
      cell.addEventListener("focus", () => {
        table.querySelector(".cell[tabindex='0']").tabIndex = -1;
        cell.tabIndex = 0;
      });
      cell.addEventListener("keydown", (event) => {
        const [down, right] = STEPS[event.key] ?? [0, 0];
        const next = rows[y + down]?.[x + right];
        if (!next || next === cell) return;
        event.preventDefault();
        next.focus();
      });
    }));
  }
})();
