// Keeps the states of open jobs fresh, and the live part of a sweep's page. Without this script a reload shows the same.
document.addEventListener("DOMContentLoaded", () => {
  const EVERY_MS = 1000;
  const open = () => [...document.querySelectorAll("[data-job][data-open='1']")];

  async function refreshStates() {
    const shown = open();
    if (!shown.length) return;
    const query = new URLSearchParams(shown.map((state) => ["id", state.dataset.job]));
    const answer = await fetch(`${shown[0].dataset.news}?${query}`, { credentials: "same-origin" });
    if (!answer.ok) return;
    const told = new Map((await answer.json()).jobs.map((job) => [String(job.id), job]));
    let ended = false;
    for (const state of shown) {
      const job = told.get(state.dataset.job);
      if (!job) continue;
      state.innerHTML = job.html;
      if (!job.open) { state.dataset.open = "0"; ended = true; }
    }
    if (ended && document.querySelector("[data-reload-at-end]")) location.reload();
  }

  async function refreshLive() {
    const live = document.querySelector("[data-live][data-open='1']");
    if (!live) return;
    const answer = await fetch(live.dataset.live + location.search, { credentials: "same-origin" });
    if (answer.ok) live.innerHTML = await answer.text();
  }

  async function tick() {
    if (!document.hidden) {
      try { await refreshLive(); await refreshStates(); } catch { /* the server is away; the next look tells */ }
    }
    if (open().length) setTimeout(tick, EVERY_MS);
  }
  if (open().length) setTimeout(tick, EVERY_MS);

  // Choosing another strategy asks the server for its fields.
  const chosen = document.getElementById("id_strategy");
  const shown = document.getElementById("id_shown_strategy");
  chosen?.addEventListener("change", () => { if (shown && chosen.value !== shown.value) chosen.form.requestSubmit(); });
});
