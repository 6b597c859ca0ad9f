// Five hints for whoever sees the dashboard first, from the simulated bot to a paper bot. Kept in this browser: once seen, only on request.
"use strict";
(() => {
  const KEY = "dgbot-tour", panel = document.getElementById("tour"), again = document.getElementById("tour-again");
  if (!panel) return;
  const hints = [...panel.querySelectorAll("li")], counter = panel.querySelector("small");
  const buttons = Object.fromEntries([...panel.querySelectorAll("button")].map((button) => [button.dataset.tour, button]));
  let place = 0;

  function show(wanted, { focus = true } = {}) {
    place = Math.min(Math.max(wanted, 0), hints.length - 1);
    hints.forEach((hint, number) => { hint.hidden = number !== place; });
    counter.textContent = `${place + 1} / ${hints.length}`;
    buttons.back.disabled = place === 0;
    buttons.next.hidden = place === hints.length - 1;
    panel.hidden = false;
    mark(document.querySelector(hints[place].dataset.at));
    if (focus) panel.focus();
  }
  function mark(element) {
    document.querySelectorAll(".toured").forEach((other) => other.classList.remove("toured"));
    const card = element?.closest(".card") ?? element;
    card?.classList.add("toured");
    card?.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }
  function end() {
    localStorage.setItem(KEY, "seen");
    panel.hidden = true;
    mark(null);
    again?.focus();
  }
  buttons.next.addEventListener("click", () => show(place + 1));
  buttons.back.addEventListener("click", () => show(place - 1));
  buttons.end.addEventListener("click", end);
  panel.addEventListener("keydown", (event) => { if (event.key === "Escape") end(); });
  again?.addEventListener("click", () => show(0));
  if (panel.dataset.first && !localStorage.getItem(KEY)) show(0, { focus: false });
})();
