// Light or dark: the system's choice until the visitor makes one. Runs before the first paint.
"use strict";
(() => {
  const kept = localStorage.getItem("dgbot-theme");
  if (kept) document.documentElement.dataset.theme = kept;
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const root = document.documentElement;
      const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = isDark ? "light" : "dark";
      localStorage.setItem("dgbot-theme", root.dataset.theme);
      document.dispatchEvent(new Event("themechange"));
    });
  });
})();
