// Charts of a backtest's report and of the comparison. Everything else on the page is there without this script.
"use strict";
(() => {
  const data = (id) => { const found = document.getElementById(id); return found ? JSON.parse(found.textContent) : null; };
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const charts = [];
  const number = new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 2 });

  function colours() {
    return { layout: { background: { type: "solid", color: "transparent" }, textColor: css("--quiet"), attributionLogo: false, panes: { separatorColor: css("--line") } },
      grid: { vertLines: { visible: false }, horzLines: { color: css("--line") } }, rightPriceScale: { borderVisible: false }, timeScale: { borderVisible: false, timeVisible: true, minBarSpacing: 0.02 },
      localization: { priceFormatter: (price) => number.format(price) } };
  }

  function chartIn(place, paint) {
    const made = window.LightweightCharts.createChart(place, { autoSize: true, handleScale: { mouseWheel: false }, handleScroll: { mouseWheel: false }, ...colours() });
    charts.push(() => { made.applyOptions(colours()); paint(made); });
    new ResizeObserver(() => made.timeScale().fitContent()).observe(place);
    return made;
  }

  function drawEquity(report) {
    const { LineSeries, AreaSeries } = window.LightweightCharts;
    const place = document.getElementById("equity");
    const chart = chartIn(place, paint);
    const hold = report.chart.hold.length ? chart.addSeries(LineSeries, { lineWidth: 1, priceLineVisible: false, lastValueVisible: false }) : null;
    const equity = chart.addSeries(LineSeries, { lineWidth: 2, priceLineVisible: false });
    const fall = chart.addSeries(AreaSeries, { lineWidth: 1, priceLineVisible: false, lastValueVisible: false, invertFilledArea: true }, 1);
    function paint() {
      if (hold) hold.applyOptions({ color: css("--warn") });
      equity.applyOptions({ color: css("--accent") });
      const bad = css("--bad");
      fall.applyOptions({ lineColor: bad, topColor: bad + "55", bottomColor: bad + "22" });
    }
    paint();
    if (hold) hold.setData(report.chart.hold);
    equity.setData(report.chart.equity);
    fall.setData(report.chart.drawdown);
    chart.panes()[1].setHeight(Math.round(place.clientHeight / 4));
    chart.timeScale().fitContent();
  }

  function drawCandles(report) {
    const { CandlestickSeries, createSeriesMarkers } = window.LightweightCharts;
    const main = document.querySelector("main[data-candles]");
    const said = document.getElementById("candles-said");
    const chart = chartIn(document.getElementById("candles"), paint);
    const series = chart.addSeries(CandlestickSeries, { borderVisible: false });
    const marks = createSeriesMarkers(series, []);
    let fills = [], shown = "";

    function paint() {
      const [good, bad, accent] = [css("--good"), css("--bad"), css("--accent")];
      series.applyOptions({ upColor: good, downColor: bad, wickUpColor: good, wickDownColor: bad });
      marks.setMarkers(fills.map((fill) => ({ time: fill.time, position: fill.side === "buy" ? "belowBar" : "aboveBar",
        shape: fill.side === "buy" ? "arrowUp" : "arrowDown", color: fill.side === "buy" ? accent : css("--text"), text: fills.length > 60 ? "" : fill.word })));
    }

    async function show(symbol, from, to) {
      const asked = `${symbol} ${from} ${to}`;
      shown = asked;
      const query = new URLSearchParams({ symbol, ...(from ? { from, to } : {}) });
      const response = await fetch(`${main.dataset.candles}?${query}`);
      const told = await response.json();
      if (shown !== asked) return; // another one was chosen meanwhile
      if (!response.ok) { said.textContent = told.message; return; }
      const times = told.candles.map((one) => one.time);
      fills = told.fills.map((fill) => ({ ...fill, word: report.words[fill.reason] || fill.reason, time: times[lastAtOrBefore(times, fill.time)] }));
      said.textContent = told.candles_each > 1 ? report.labels.each.replace("%(count)s", told.candles_each) : "";
      series.setData(told.candles);
      paint();
      chart.timeScale().fitContent();
    }

    for (const button of document.querySelectorAll("#markets [data-symbol]")) button.addEventListener("click", () => {
      for (const other of document.querySelectorAll("#markets [data-symbol]")) other.setAttribute("aria-pressed", String(other === button));
      show(button.dataset.symbol);
    });
    document.getElementById("whole").addEventListener("click", () => { choose(null); show(document.querySelector("#markets [aria-pressed=true]").dataset.symbol); });
    for (const button of document.querySelectorAll("button.show")) button.addEventListener("click", () => {
      const from = Number(button.dataset.from), to = Number(button.dataset.to), room = Math.max(to - from, 40 * 3600);
      choose(button.closest("tr"));
      show(button.dataset.symbol, from - room, to + room);
      document.getElementById("candles").scrollIntoView({ block: "center", behavior: "smooth" });
    });
    function choose(row) {
      for (const other of document.querySelectorAll("tr.chosen")) other.classList.remove("chosen");
      if (row) row.classList.add("chosen");
    }
    show(report.symbols[0]);
  }

  function lastAtOrBefore(times, wanted) {
    let low = 0, high = times.length - 1;
    while (low < high) { const middle = (low + high + 1) >> 1; if (times[middle] <= wanted) low = middle; else high = middle - 1; }
    return low;
  }

  function drawGrowth(runs) {
    const { LineSeries } = window.LightweightCharts;
    const lines = ["--accent", "#d97706", "#059669", "#9333ea", "#db2777"];
    const made = [];
    const chart = chartIn(document.getElementById("growth"), paint);
    for (const run of runs) { const line = chart.addSeries(LineSeries, { lineWidth: 2, priceLineVisible: false, title: run.name }); line.setData(run.growth); made.push(line); }
    function paint() { made.forEach((line, at) => line.applyOptions({ color: lines[at].startsWith("--") ? css(lines[at]) : lines[at] })); }
    paint();
    chart.timeScale().fitContent();
  }

  document.addEventListener("DOMContentLoaded", () => {
    const print = document.getElementById("print");
    if (print) print.addEventListener("click", () => window.print());
    if (!window.LightweightCharts) return;
    const report = data("report-data"), growth = data("growth-data");
    if (report) { drawEquity(report); drawCandles(report); }
    if (growth) drawGrowth(growth);
    const repaint = () => charts.forEach((paint) => paint());
    document.addEventListener("themechange", repaint);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  });
})();
