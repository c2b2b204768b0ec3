"use strict";
// This script filters and sorts. Without it, the page shows everything.
(() => {
  const few = 25;

  for (const section of document.querySelectorAll("[data-violations]")) {
    const controls = section.querySelector(".controls");
    const list = section.querySelector(".violations");
    if (!list) {
      continue;
    }
    const showing = section.querySelector(".showing");
    const more = section.querySelector(".more");
    const items = Array.from(list.children);
    const texts = new Map(items.map((item) => [item, item.textContent.toLowerCase()]));
    let all = false;

    const orders = {
      severity: (a, b) => a.dataset.place - b.dataset.place,
      newest: (a, b) => b.dataset.since - a.dataset.since || a.dataset.place - b.dataset.place,
      oldest: (a, b) => a.dataset.since - b.dataset.since || a.dataset.place - b.dataset.place,
      policy: (a, b) => a.dataset.policy.localeCompare(b.dataset.policy) || a.dataset.place - b.dataset.place,
    };

    const show = () => {
      const wanted = controls.elements;
      const words = wanted.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const fits = (item) =>
        (!wanted.severity.value || item.dataset.severity === wanted.severity.value) &&
        (!wanted.policy.value || item.dataset.policy === wanted.policy.value) &&
        (!wanted.drift || !wanted.drift.checked || item.dataset.drift === "true") &&
        words.every((word) => texts.get(item).includes(word));
      let found = 0;
      for (const item of items) {
        const fit = fits(item);
        found += fit;
        item.hidden = !fit || (!all && found > few);
      }
      const shown = all ? found : Math.min(found, few);
      const count = (n) => n.toLocaleString("en");
      if (found === 0) {
        showing.textContent = "None of " + count(items.length) + " matches.";
      } else if (found === items.length || found === shown) {
        showing.textContent = "Showing " + count(shown) + " of " + count(items.length) + ".";
      } else {
        showing.textContent = "Showing " + count(shown) + " of " + count(found) + " matches, of " + count(items.length) + ".";
      }
      more.hidden = shown === found;
      more.textContent = "Show all " + count(found);
    };

    controls.addEventListener("submit", (event) => event.preventDefault());
    controls.addEventListener("input", (event) => {
      if (event.target.name === "order") {
        items.sort(orders[event.target.value]);
        list.append(...items);
      }
      all = false;
      show();
    });
    // Print all matches, because the button "Show all" does not work on paper.
    let onScreen = all;
    window.addEventListener("beforeprint", () => {
      onScreen = all;
      all = true;
      show();
    });
    window.addEventListener("afterprint", () => {
      all = onScreen;
      show();
    });
    more.addEventListener("click", () => {
      const seen = items.filter((item) => !item.hidden).length;
      all = true;
      show();
      const next = items.filter((item) => !item.hidden)[seen];
      next.tabIndex = -1;
      next.focus();
    });
    if (items.length > 1) {
      controls.hidden = false;
    }
    show();
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) {
      continue;
    }
    Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
      if (head.classList.contains("plain")) {
        return;
      }
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) {
          other.removeAttribute("aria-sort");
        }
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const text = (row) => row.cells[column].dataset.value || row.cells[column].textContent.replace(/(\d),(?=\d)/g, "$1");
        const rows = Array.from(body.rows).sort((a, b) => text(a).localeCompare(text(b), "en", { numeric: true }));
        body.append(...(up ? rows : rows.reverse()));
      });
    });
  }

  for (const figure of document.querySelectorAll("figure:has(.picture)")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "size";
    button.textContent = "Full size";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => button.setAttribute("aria-pressed", figure.classList.toggle("full")));
    figure.querySelector("figcaption").append(button);
  }
})();
