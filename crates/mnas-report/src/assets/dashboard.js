"use strict";
// A live page: told of news, it fetches itself again and puts changed parts in place.
(() => {
  const parts = (root) => [...root.querySelectorAll("[data-live]")];
  const ids = (root) => parts(root).map((part) => part.id).join();
  const served = new Map();
  const serve = (root) => { for (const part of parts(root)) served.set(part.id, part.innerHTML); };
  serve(document);
  const said = document.getElementById("said");

  // Puts a part in place and keeps what the reader did: opened details, ticks, focus.
  const put = (part, fresh) => {
    const open = [...part.querySelectorAll("details[id]")].filter((d) => d.open).map((d) => d.id);
    const shut = [...part.querySelectorAll("details[id]")].filter((d) => !d.open).map((d) => d.id);
    const ticked = [...part.querySelectorAll("input:checked")].map((i) => i.id);
    const focus = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.replaceChildren(...document.importNode(fresh, true).childNodes);
    const by = (id) => document.getElementById(id);
    for (const id of open) if (by(id)) by(id).open = true;
    for (const id of shut) if (by(id)) by(id).open = false;
    for (const id of ticked) if (by(id)) by(id).checked = true;
    if (focus && by(focus)) by(focus).focus({ preventScroll: true });
    window.enliven(part);
  };

  let busy = false, again = false;
  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (ids(page) !== ids(document)) {
          // The first events of a study: the page has other parts now.
          serve(page);
          put(document.getElementById("main"), page.getElementById("main"));
        } else {
          for (const part of parts(document)) {
            const fresh = page.getElementById(part.id);
            if (served.get(part.id) === fresh.innerHTML) continue;
            served.set(part.id, fresh.innerHTML);
            put(part, fresh);
          }
        }
        document.title = page.title;
        document.body.dataset.seq = page.body.dataset.seq;
      }
    } catch { /* The next news or the reconnection tries again. */ }
    busy = false;
    if (again) { again = false; refresh(); }
  };

  if (document.body.dataset.events) {
    const source = new EventSource(document.body.dataset.events);
    source.onmessage = (event) => { if (event.data !== document.body.dataset.seq) refresh(); };
    source.onopen = () => { if (said) said.textContent = "live"; };
    source.onerror = () => { if (said) said.textContent = "connection lost, trying again"; };
    addEventListener("pagehide", () => source.close());
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  }

  // Filtering while typing; without script the form's button does it.
  let timer = 0;
  document.addEventListener("input", (event) => {
    const form = event.target.closest("#filter-form");
    if (!form) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      history.replaceState(null, "", "?" + new URLSearchParams(new FormData(form)));
      refresh();
    }, 150);
  });

  // Light, dark, or as the system has it; the server writes the choice into the page.
  const theme = document.getElementById("theme");
  if (theme) {
    theme.hidden = false;
    theme.addEventListener("click", () => {
      const root = document.documentElement;
      const dark = root.dataset.theme ? root.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      document.cookie = "mnas-theme=" + root.dataset.theme + ";path=/;max-age=31536000;samesite=strict";
    });
  }
})();
