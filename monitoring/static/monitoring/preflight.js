// The preflight of a bot or of a draft: looked at again while a form changes or a download runs. Works in `#preflight`.
"use strict";
(() => {
  const panel = document.getElementById("preflight"), form = document.getElementById("new-bot");
  if (!panel) return;
  const RUNNING_MS = 1500, IDLE_MS = 30000, TYPING_MS = 400;
  const token = () => document.querySelector("[name=csrfmiddlewaretoken]").value;
  let timer = 0, number = 0;

  async function look() {
    clearTimeout(timer);
    const mine = ++number;
    try {
      const asked = form ? { method: "POST", body: new FormData(form), headers: { "X-CSRFToken": token() } } : {};
      const answer = await fetch(panel.dataset.address, asked);
      if (answer.ok && mine === number) show(await answer.text());
    } catch { /* the server is away; the next look tells */ }
    if (mine === number) later(panel.querySelector("progress") ? RUNNING_MS : IDLE_MS);
  }
  function show(html) {
    const key = panel.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const body = panel.querySelector(".checks"), made = new DOMParser().parseFromString(html, "text/html").querySelector(".checks");
    if (!made || body?.innerHTML === made.innerHTML) return; // a screen reader says only what changed
    body ? body.replaceWith(made) : panel.append(made);
    if (key) panel.querySelector(`[data-key="${key}"]`)?.focus();
  }
  const later = (ms) => { clearTimeout(timer); timer = setTimeout(look, ms); };

  panel.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-download]");
    if (!button) return;
    event.preventDefault();
    button.disabled = true;
    const body = new URLSearchParams(button.dataset.download);
    const answer = await fetch(panel.dataset.downloads, { method: "POST", body, headers: { "X-CSRFToken": token() } });
    const { message } = await answer.json().catch(() => ({ message: answer.statusText }));
    if (!answer.ok) { button.disabled = false; button.parentElement.append(Object.assign(document.createElement("small"), { className: "cause", textContent: message })); return; }
    look();
  });
  if (form) {
    form.addEventListener("input", () => later(TYPING_MS));
    const home = form.querySelector("[name=home]"), cash = form.querySelector("[name=paper_cash]")?.closest(".field");
    const fit = () => { if (cash) cash.hidden = !home.value.startsWith("new:"); };
    home?.addEventListener("change", fit);
    fit();
    const strategy = form.querySelector("[name=strategy]"), shown = form.querySelector("[name=shown_strategy]");
    strategy?.addEventListener("change", () => { if (strategy.value !== shown.value) form.requestSubmit(form.querySelector("[value=look]")); });
    if (form.dataset.switched) strategy?.closest("section").scrollIntoView();
  }
  later(form ? 50 : panel.querySelector("progress") ? RUNNING_MS : IDLE_MS);
})();
