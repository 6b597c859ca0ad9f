/* Candles with entries and exits, read from the address the element names. Colours follow the page's theme. */
"use strict";
(() => {
  const LIGHT = { text: "#5c6675", line: "#e9ecf0", up: "#0c7a4d", down: "#c22b2b", entry: "#2056d6", stop: "#c22b2b", target: "#0c7a4d" };
  const DARK = { text: "#aab4c3", line: "#232d3a", up: "#4fcf98", down: "#ff8080", entry: "#7ba6ff", stop: "#ff8080", target: "#4fcf98" };
  const isDark = () => document.documentElement.classList.contains("dark");
  const palette = () => (isDark() ? DARK : LIGHT);
  const language = () => document.documentElement.lang || "en";

  for (const place of document.querySelectorAll("[data-candles]")) {
    const note = place.parentElement.querySelector(".dg-chart-note");
    fetch(place.dataset.candles, { headers: { Accept: "application/json" } })
      .then((answer) => { if (!answer.ok) throw new Error(answer.status); return answer.json(); })
      .then((told) => { show(place, note, told); prove(told.proofs ?? []); })
      .catch((error) => { empty(place, note, error.message); });
  }

  function show(place, note, told) {
    if (!told.bars.length || !window.LightweightCharts) { empty(place, note, told.why_empty); return; }
    const { createChart, createSeriesMarkers, CandlestickSeries, ColorType } = window.LightweightCharts;
    const chart = createChart(place, { autoSize: true, rightPriceScale: { borderVisible: false },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false }, localization: { locale: language(), priceFormatter: formatter(told.bars) } });
    const candles = chart.addSeries(CandlestickSeries, { borderVisible: false, priceLineVisible: false, priceFormat: { type: "price", precision: decimals(told.bars), minMove: 10 ** -decimals(told.bars) } });
    candles.setData(told.bars);
    const marks = createSeriesMarkers(candles, []);
    const lines = (told.lines ?? []).map((line) => [candles.createPriceLine({ price: line.price, title: line.title, lineWidth: 1, lineStyle: 2 }), line.kind]);
    const paint = () => {
      const ink = palette();
      chart.applyOptions({ layout: { background: { type: ColorType.Solid, color: "transparent" }, textColor: ink.text, fontFamily: getComputedStyle(document.body).fontFamily, attributionLogo: true },
        grid: { vertLines: { visible: false }, horzLines: { color: ink.line } } });
      candles.applyOptions({ upColor: ink.up, downColor: ink.down, wickUpColor: ink.up, wickDownColor: ink.down });
      for (const [line, kind] of lines) line.applyOptions({ color: ink[kind] });
      marks.setMarkers(told.marks.map((mark) => ({ time: mark.time, text: mark.text,
        position: mark.side === "buy" ? "belowBar" : "aboveBar", shape: mark.side === "buy" ? "arrowUp" : "arrowDown", color: mark.side === "buy" ? ink.entry : ink.down })));
    };
    paint();
    let width = 0;
    new ResizeObserver(([entry]) => { if (entry.contentRect.width !== width) { width = entry.contentRect.width; chart.timeScale().fitContent(); } }).observe(place);
    new MutationObserver(paint).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    place.dataset.drawn = "yes";
  }

  function decimals(bars) { // as many as the smallest price needs
    const least = Math.min(...bars.map((bar) => bar.low));
    return least >= 1000 ? 0 : least >= 10 ? 2 : least >= 0.1 ? 4 : 8;
  }

  function formatter(bars) {
    const written = new Intl.NumberFormat(language(), { maximumFractionDigits: decimals(bars) });
    return (price) => written.format(price);
  }

  function empty(place, note, why) {
    place.classList.add("dg-empty");
    place.dataset.drawn = "no";
    note.textContent = `${place.dataset.unknown}: ${why}`;
  }

  function prove(proofs) {
    for (const proof of proofs) {
      const place = document.querySelector(`[data-proof="${proof.decision}"]`);
      if (!place) continue;
      const badge = document.createElement("span");
      badge.className = `dg-state dg-${proof.is_same === null ? "warn" : proof.is_same ? "good" : "bad"}`;
      badge.textContent = proof.is_same === null ? "?" : proof.is_same ? "✓" : "≠";
      place.replaceChildren(badge, ` ${proof.told}`);
    }
  }
})();
