/* Realised profit: each day as a bar, the sum as a line, in two panes of one chart. */
"use strict";
(() => {
  const LIGHT = { text: "#5c6675", line: "#e9ecf0", gain: "#0c7a4d", loss: "#c22b2b", sum: "#2056d6" };
  const DARK = { text: "#aab4c3", line: "#232d3a", gain: "#4fcf98", loss: "#ff8080", sum: "#7ba6ff" };
  const palette = () => (document.documentElement.classList.contains("dark") ? DARK : LIGHT);

  for (const place of document.querySelectorAll("[data-profit]")) {
    const told = JSON.parse(document.getElementById(place.dataset.profit).textContent);
    if (!window.LightweightCharts || !told.days.length) continue;
    const { createChart, HistogramSeries, AreaSeries, ColorType } = window.LightweightCharts;
    const language = document.documentElement.lang || "en";
    const whole = new Intl.NumberFormat(language, { maximumFractionDigits: told.currency === "KRW" ? 0 : 2 });
    const chart = createChart(place, { autoSize: true, rightPriceScale: { borderVisible: false }, timeScale: { borderVisible: false },
      localization: { locale: language, priceFormatter: (value) => whole.format(value) } });
    const earned = chart.addSeries(AreaSeries, { lineWidth: 2, priceLineVisible: false, title: "" }, 0);
    const days = chart.addSeries(HistogramSeries, { priceLineVisible: false, lastValueVisible: false }, 1);
    earned.setData(told.earned);
    const paint = () => {
      const ink = palette();
      chart.applyOptions({ layout: { background: { type: ColorType.Solid, color: "transparent" }, textColor: ink.text, fontFamily: getComputedStyle(document.body).fontFamily, attributionLogo: true, panes: { separatorColor: ink.line } },
        grid: { vertLines: { visible: false }, horzLines: { color: ink.line } } });
      earned.applyOptions({ lineColor: ink.sum, topColor: `${ink.sum}33`, bottomColor: `${ink.sum}05` });
      days.setData(told.days.map((day) => ({ ...day, color: day.value < 0 ? ink.loss : ink.gain })));
    };
    paint();
    let width = 0;
    new ResizeObserver(([entry]) => { if (entry.contentRect.width !== width) { width = entry.contentRect.width; chart.timeScale().fitContent(); } }).observe(place);
    new MutationObserver(paint).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    place.dataset.drawn = "yes";
  }
})();
