"use strict";
// Everything here is a convenience: without it the page shows the same numbers.
(() => {
  const tip = document.getElementById("tip");
  const clear = () => document.querySelectorAll(".hot").forEach((e) => e.classList.remove("hot"));

  // What is said at the pointer: the mark's own title, and the trial's network from its row.
  const words = (mark) => {
    const own = mark.querySelector("title");
    if (own) { mark.dataset.title = own.textContent; own.remove(); }
    const row = document.getElementById("t" + mark.dataset.t);
    const spec = row && row.querySelector("pre");
    return (mark.dataset.title || "trial " + mark.dataset.t) + (spec ? "\n" + spec.textContent : "");
  };

  const show = (mark, x, y) => {
    clear();
    if (mark.dataset.t) {
      document.querySelectorAll('svg [data-t="' + mark.dataset.t + '"]')
        .forEach((e) => e.classList.add("hot"));
    }
    mark.classList.add("hot");
    tip.textContent = words(mark);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = x + 14 + box.width > innerWidth ? x - box.width - 14 : x + 14;
    tip.style.left = Math.max(4, left) + "px";
    tip.style.top = Math.max(4, Math.min(y + 14, innerHeight - box.height - 4)) + "px";
  };
  const hide = () => { tip.hidden = true; clear(); };

  // The mark nearest to the pointer answers, so that nobody has to hit a dot of six pixels.
  const nearest = (svg, event) => {
    let best = null, least = 18 * 18;
    for (const mark of svg.querySelectorAll(":scope > circle, :scope > path[data-t], :scope > path.reference, :scope > path.winner")) {
      const box = mark.getBoundingClientRect();
      const dx = box.x + box.width / 2 - event.clientX, dy = box.y + box.height / 2 - event.clientY;
      if (dx * dx + dy * dy <= least) { least = dx * dx + dy * dy; best = mark; }
    }
    return best;
  };
  const answer = (root) => { for (const svg of root.querySelectorAll(".scatter, .reward")) {
    let due = false;
    const look = (event) => {
      if (due) return;
      due = true;
      requestAnimationFrame(() => {
        due = false;
        const mark = nearest(svg, event);
        if (mark) show(mark, event.clientX, event.clientY); else hide();
      });
    };
    svg.addEventListener("pointermove", look);
    svg.addEventListener("pointerdown", look);
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("click", (event) => {
      const mark = nearest(svg, event);
      const pages = document.body.dataset.trials;
      if (pages && mark && mark.dataset.t) { location.href = pages + mark.dataset.t; return; }
      const row = mark && document.getElementById("t" + mark.dataset.t);
      if (!row) return;
      row.hidden = false;
      row.querySelector("details").open = true;
      location.hash = row.id;
    });
  } };

  // Sorting: a click on a column's name; numbers by value, other cells by text.
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.dataset.v || cell.textContent;
    const number = parseFloat(text.replace(/,/g, ""));
    return Number.isNaN(number) ? (/[a-z]/i.test(text) ? text : null) : number;
  };
  const sortable = (root) => { for (const table of root.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
        rows.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          const order = typeof a === "number" && typeof b === "number" ? a - b
            : String(a).localeCompare(String(b));
          return up ? order : -order;
        });
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  } };

  const enliven = (root) => { answer(root); sortable(root); };
  enliven(document);
  // The dashboard draws parts anew; what it puts in place answers too.
  window.enliven = enliven;

  // The filter: rows that contain every word typed.
  const box = document.getElementById("filter");
  if (box) {
    const rows = [...document.querySelectorAll("#trials-table tbody tr")];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const found = document.getElementById("found");
    box.closest(".filter").hidden = false;
    box.addEventListener("input", () => {
      const wanted = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let n = 0;
      rows.forEach((row, i) => {
        row.hidden = !wanted.every((w) => texts[i].includes(w));
        if (!row.hidden) n += 1;
      });
      found.textContent = n + " of " + rows.length;
    });
  }
})();
