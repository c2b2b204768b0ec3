"use strict";
// This script filters, sorts and zooms. Without it, the page shows everything.
(() => {
  for (const section of document.querySelectorAll("[data-violations]")) {
    const controls = section.querySelector(".controls");
    const list = section.querySelector(".violations");
    if (!list) {
      continue;
    }
    const showing = section.querySelector(".showing");
    const more = section.querySelector(".more");
    // The violations after the first few are text until they are shown, so that the page stays fast.
    const later = document.createElement("template");
    later.innerHTML = section.querySelector("noscript")?.textContent || "";
    const items = [...list.children, ...later.content.querySelectorAll(".violation")];
    const few = list.children.length;
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
      const matches = items.filter(fits);
      const found = matches.length;
      const shown = all ? found : Math.min(found, few);
      list.replaceChildren(...matches.slice(0, shown));
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
      const seen = list.children.length;
      all = true;
      show();
      const next = list.children[seen];
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

  if (document.body.dataset.live) {
    follow(document.body.dataset.live);
  }

  // follow shows the newest version of a page that a server updates: at once while the reader
  // has done nothing with the page, else on request.
  function follow(version) {
    const interval = 15_000;
    const notice = document.querySelector(".live");
    let touched = false, timer = 0, since = "";
    for (const event of ["pointerdown", "keydown", "input"]) {
      document.addEventListener(event, () => { touched = true; }, { once: true, capture: true });
    }
    const say = (text, action) => {
      if (notice.dataset.text === text) {
        return;
      }
      notice.dataset.text = text;
      notice.replaceChildren(text);
      if (action) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = action;
        button.addEventListener("click", () => location.reload());
        notice.append(" ", button);
      }
    };
    const check = async () => {
      clearTimeout(timer);
      try {
        const answer = await fetch(location.pathname, { method: "HEAD", cache: "no-store" });
        const current = answer.headers.get("ETag");
        since = "";
        if (answer.redirected || answer.status === 401 || answer.status === 403) {
          say("You are no longer logged in, so this report is not updated.", "Log in");
        } else if (!current) {
          say("bgpguard could not write a newer report (status " + answer.status + "): this one may be stale.");
        } else if (current === JSON.stringify(version)) {
          say("");
        } else if (touched) {
          say("There is a newer report.", "Show it");
        } else {
          location.reload();
        }
      } catch {
        since = since || new Date().toISOString().slice(11, 16) + " UTC";
        say("bgpguard has not answered since " + since + ": this report may be stale.");
      }
      timer = setTimeout(check, interval);
    };
    document.addEventListener("visibilitychange", () => document.hidden ? clearTimeout(timer) : check());
    timer = setTimeout(check, interval);
  }

  for (const part of document.querySelectorAll("[data-topology]")) {
    topology(part);
  }

  // topology lets a picture be zoomed and moved, and its groups be selected.
  function topology(part) {
    const figure = part.querySelector("[data-picture]");
    const frame = figure.querySelector(".picture");
    const canvas = figure.querySelector(".canvas");
    const svg = canvas.querySelector("svg");
    const whole = svg.viewBox.baseVal;
    const all = { x: whole.x, y: whole.y, w: whole.width, h: whole.height };
    let view = { ...all };

    const show = () => svg.setAttribute("viewBox", [view.x, view.y, view.w, view.h].join(" "));
    const fit = () => {
      view = { ...all };
      show();
      figure.classList.remove("zoomed");
    };
    // zoom keeps the point (x, y), in parts of the view, in its place.
    const zoom = (factor, x = 0.5, y = 0.5) => {
      const w = Math.min(all.w, Math.max(all.w / 12, view.w / factor));
      const h = (w * view.h) / view.w;
      view = { x: view.x + (view.w - w) * x, y: view.y + (view.h - h) * y, w, h };
      move(0, 0);
      figure.classList.toggle("zoomed", view.w < all.w);
    };
    const move = (dx, dy) => {
      view.x = Math.min(Math.max(view.x + dx * view.w, all.x), all.x + all.w - view.w);
      view.y = Math.min(Math.max(view.y + dy * view.h, all.y), all.y + all.h - view.h);
      show();
    };
    const full = (on) => {
      figure.classList.toggle("full", on);
      enlarge.setAttribute("aria-pressed", String(on));
    };

    const tools = document.createElement("span");
    tools.className = "tools";
    const tool = (label, name, action) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.setAttribute("aria-label", name);
      button.title = name;
      button.addEventListener("click", action);
      tools.append(button);
      return button;
    };
    tool("+", "Zoom in", () => zoom(1.5));
    tool("\u2212", "Zoom out", () => zoom(1 / 1.5));
    tool("Fit", "Fit the picture", fit);
    const enlarge = tool("Enlarge", "Enlarge the picture", () => full(!figure.classList.contains("full")));
    enlarge.setAttribute("aria-pressed", "false");
    figure.querySelector("figcaption").append(tools);

    frame.addEventListener("keydown", (event) => {
      const step = 0.15;
      const keys = {
        "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: fit,
        ArrowLeft: () => move(-step, 0), ArrowRight: () => move(step, 0), ArrowUp: () => move(0, -step), ArrowDown: () => move(0, step),
        Escape: () => full(false),
      };
      const arrow = event.key.startsWith("Arrow");
      if (keys[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey && (!arrow || figure.classList.contains("zoomed"))) {
        keys[event.key]();
        event.preventDefault();
      }
    });
    document.addEventListener("keydown", (event) => event.key === "Escape" && full(false));
    frame.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && !figure.classList.contains("full")) {
        return; // The wheel alone scrolls the page.
      }
      event.preventDefault();
      const box = svg.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY / 300), (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    }, { passive: false });
    let drag = null;
    svg.addEventListener("pointerdown", (event) => {
      if (event.button === 0 && view.w < all.w) {
        drag = { x: event.clientX, y: event.clientY, moved: false };
      }
    });
    svg.addEventListener("pointermove", (event) => {
      if (!drag) {
        return;
      }
      const box = svg.getBoundingClientRect();
      const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
      if (drag.moved || Math.hypot(dx, dy) > 4) {
        if (!drag.moved) {
          svg.setPointerCapture(event.pointerId);
        }
        drag = { x: event.clientX, y: event.clientY, moved: true };
        move(-dx / box.width, -dy / box.height);
      }
    });
    const drop = () => setTimeout(() => { drag = null; });
    svg.addEventListener("pointerup", drop);
    svg.addEventListener("pointercancel", drop);
    let onScreen = view;
    window.addEventListener("beforeprint", () => {
      onScreen = view;
      view = all;
      show();
    });
    window.addEventListener("afterprint", () => {
      view = onScreen;
      show();
    });

    // The groups.
    const section = part.parentElement.closest("[id].cluster, main");
    const groups = Array.from(part.querySelectorAll(".group"));
    const many = part.querySelector(".groups");
    const only = part.querySelector(".only");
    const partsOf = new Map();
    let selected = "";

    const select = (id, label) => {
      selected = id === selected ? "" : id;
      const wanted = new Set(selected ? partsOf.get(selected) || [selected] : []);
      if (many && selected) {
        many.open = true;
      }
      for (const link of svg.querySelectorAll("[data-ends]")) {
        link.classList.toggle("faint", Boolean(selected) && !link.dataset.ends.split(" ").includes(selected));
      }
      for (const g of groups) {
        const fits = !selected || wanted.has(g.dataset.group);
        g.hidden = !fits;
        g.open = Boolean(selected) && fits && wanted.size <= 4;
      }
      for (const row of section.querySelectorAll("tr[data-groups]")) {
        row.hidden = Boolean(selected) && !row.dataset.groups.split(" ").some((g) => wanted.has(g));
      }
      for (const [shape, one] of shapes) {
        shape.classList.toggle("selected", one === selected);
        shape.setAttribute("aria-pressed", String(one === selected));
      }
      only.hidden = !selected;
      only.replaceChildren();
      if (selected) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = "Show all groups";
        button.addEventListener("click", () => select(selected, ""));
        only.append("Lists and tables show only the group \u201c" + label + "\u201d. ", button);
      }
    };

    const shapes = new Map();
    const decode = (text) => {
      try {
        return new TextDecoder().decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
      } catch {
        return "";
      }
    };
    for (const shape of svg.querySelectorAll("g[class]")) {
      // D2 writes the ID of a shape in base64 as its first class, and escapes it for HTML first.
      const id = shape.dataset.shape || decode(shape.classList[0] || "").replace(/^"|"$/g, "");
      const mine = (canvas.dataset.shapes || "").split("\n").map((line) => line.split("\t")).find((line) => line[0] === id);
      if (!mine || !shape.textContent.trim()) { // The legend has shapes without text.
        continue;
      }
      partsOf.set(id, mine[1].split(" "));
      shapes.set(shape, id);
      const label = mine[2];
      shape.setAttribute("role", "button");
      shape.setAttribute("tabindex", "0");
      shape.setAttribute("aria-pressed", "false");
      shape.addEventListener("click", () => {
        if (!drag || !drag.moved) {
          select(id, label);
        }
      });
      shape.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          select(id, label);
        }
      });
    }
    canvas.setAttribute("role", "group");

    const finder = part.querySelector(".finder");
    finder.hidden = groups.length === 0;
    finder.querySelector("input").addEventListener("input", (event) => {
      const word = event.target.value.trim().toLowerCase();
      if (many) {
        many.open = Boolean(word);
      }
      for (const g of groups) {
        const names = g.querySelector(".names");
        const text = names.textContent.toLowerCase();
        const at = word ? text.indexOf(word) : -1;
        g.hidden = Boolean(word) && at < 0;
        g.open = at >= 0;
        names.replaceChildren(names.textContent);
        if (at >= 0) {
          const mark = document.createElement("mark");
          mark.textContent = names.textContent.slice(at, at + word.length);
          names.replaceChildren(names.textContent.slice(0, at), mark, names.textContent.slice(at + word.length));
          if (names.scrollHeight > names.clientHeight) {
            names.scrollTop = mark.offsetTop - names.offsetTop - names.clientHeight / 2;
          }
        }
      }
    });
  }
})();
