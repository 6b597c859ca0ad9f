// Keeps the page of the platform's health fresh: its inside is fetched every few seconds while somebody looks.
"use strict";
(() => {
  const EVERY_MS = 5000, WAIT_MS = 8000;
  const main = document.getElementById("content"), part = document.getElementById("part"), said = document.getElementById("said");

  async function refresh() {
    if (document.hidden) return;
    try {
      const answer = await fetch("?part=1", { signal: AbortSignal.timeout(WAIT_MS), credentials: "same-origin", redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      part.innerHTML = await answer.text();  // rendered and escaped by our own server
      main.classList.remove("stale");
      said.textContent = "";
    } catch {
      if (main.classList.contains("stale")) return;
      main.classList.add("stale");
      const sentence = document.createElement("p");
      sentence.className = "bad";
      sentence.textContent = main.dataset.away;
      said.replaceChildren(sentence);
    }
  }
  setInterval(refresh, EVERY_MS);
  document.addEventListener("visibilitychange", refresh);
})();
