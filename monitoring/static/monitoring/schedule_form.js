// Says in words what the chosen crontab means, under its field.
"use strict";
addEventListener("DOMContentLoaded", () => {
  const told = document.getElementById("readable-crontabs"), chosen = document.getElementById("id_crontab");
  const field = document.querySelector(".field-crontab"), repeated = document.querySelector(".field-crontab_translation");
  if (repeated) repeated.hidden = true;
  if (!told || !chosen || !field) return;
  const words = JSON.parse(told.textContent), line = field.appendChild(document.createElement("p"));
  line.className = "dg-hint";
  const say = () => { line.textContent = words[chosen.value] ?? ""; };
  chosen.addEventListener("change", say);
  say();
});
