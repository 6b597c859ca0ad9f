// Choosing another strategy asks the server for its fields; without this script the save button does the same.
document.addEventListener("DOMContentLoaded", () => {
  const chosen = document.getElementById("id_strategy");
  const shown = document.getElementById("id_shown_strategy");
  if (!chosen || !shown || chosen.tagName !== "SELECT") return;
  chosen.addEventListener("change", () => {
    if (chosen.value !== shown.value) chosen.form.requestSubmit(chosen.form.querySelector("[name=_continue]") ?? undefined);
  });
});
