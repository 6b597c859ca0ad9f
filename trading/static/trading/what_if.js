// The panel under a form: whenever something changes, ask what the last 30 days would have been. Saving does not wait for it.
(() => {
  const panel = document.getElementById("what-if");
  const form = panel && panel.closest("form");
  if (!form) return;
  const answer = panel.querySelector(".dg-what-if-answer");
  const url = window.location.pathname.replace(/change\/$/, "what-if/");
  let waiting = 0, asked = null;

  async function ask() {
    if (asked) asked.abort();
    asked = new AbortController();
    panel.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(url, { method: "POST", body: new FormData(form), signal: asked.signal, headers: { "X-Requested-With": "fetch" } });
      if (response.ok) answer.innerHTML = await response.text();
    } catch (error) {
      if (error.name !== "AbortError") answer.textContent = "";
      else return;
    }
    panel.removeAttribute("aria-busy");
  }

  for (const kind of ["input", "change"]) {
    form.addEventListener(kind, (event) => {
      if (["reason", "change_reason"].includes(event.target.name)) return;
      window.clearTimeout(waiting);
      waiting = window.setTimeout(ask, 600);
    });
  }
})();
