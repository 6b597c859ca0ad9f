// The page of one bot, live over /ws/bots/ID/.
"use strict";
(() => {
  const { words, viewer, text, at, fill, digits, money, signed, percent, tone, age, zone, inFull, h, badge, chip, time, since, upcoming, empty, emptyRow, replace,
    TONES, STAGES, ACTIVE, cell, stageColumn, protection, css, seconds, chartIn, isOlder, byId, newest, ask, steer, say, post, run } = dg;
  const KEPT = 20, CYCLES = 12, CHECK_EVERY_MS = 1500, CHART_EVERY_MS = 60000;
  const state = { bot: null, positions: new Map(), cycles: [], decisions: [], trades: [], orders: [], limits: [], figures: {}, kill_switches: [] };
  const opened = new Set(); // cycles whose stages are unfolded

  function drawHead() {
    const bot = state.bot, agrees = bot.is_wanted === ACTIVE.includes(bot.status);
    at("state").replaceChildren(chip(TONES.bot[bot.status], words.bot[bot.status]),
      agrees ? "" : h("small", {}, fill(text.wanted, { wanted: bot.is_wanted ? text.on : text.off, actual: words.bot[bot.status] })));
    at("reason").replaceChildren(...[bot.safe_mode ? `${text.safe_mode}: ${bot.safe_mode}` : "", bot.status_reason].filter(Boolean).map((sentence) => h("p", { class: "cause" }, sentence)));
    replace("acts", acts(bot));
    at("next").replaceChildren(...(bot.next_at ? [`${text.next} `, upcoming(bot.next_at)] : []), ...(bot.data_at ? [h("span", {}, `${text.candles} `, since(bot.data_at))] : []));
  }
  function acts(bot) {
    if (!viewer.may_operate) return [];
    const labels = at("acts").dataset, real = bot.badge === "LIVE", holds = [...state.positions.values()].some((row) => row.is_open);
    const act = (name, question, kind = "act") => h("button", { type: "button", class: kind, "data-key": name, "data-act": name,
      onclick: (click) => steer(click.currentTarget, bot, name, question ? fill(question, { name: bot.name }) : "") }, labels[name]);
    return [bot.is_wanted ? act("stop", holds ? text.confirm_close : "") : act("start", real ? text.confirm_start : "", "act primary"),
      act("run", real ? text.confirm_run : ""),
      bot.is_wanted ? act(bot.is_paused ? "resume" : "pause") : ""].filter(Boolean);
  }

  function drawNotices() {
    const bot = state.bot, held = state.kill_switches;
    const mark = document.querySelector(".kill-switch");
    if (mark) { mark.classList.toggle("dg-bad", held.length > 0); mark.classList.toggle("dg-quiet", !held.length); mark.title = held.join("\n"); }
    const notices = [
      ...held.map((name) => ["bad", fill(text.kill_switch, { name })]),
      bot.badge === "LIVE" ? ["bad", fill(text.live_money, { names: bot.name })] : null,
      ["SIMULATED", "REPLAY"].includes(bot.badge) ? ["sim", fill(text.simulated, { names: bot.name })] : null,
    ].filter(Boolean);
    const drawn = JSON.stringify(notices);
    if (at("notices").dataset.drawn === drawn) return; // a screen reader says it once
    at("notices").dataset.drawn = drawn;
    at("notices").replaceChildren(...notices.map(([kind, sentence]) => h("div", { class: `notice ${kind}` }, sentence)));
  }

  function drawFigures() {
    const { equity, daily_pnl, weekly_pnl, entries_today } = state.figures, currency = state.bot.currency;
    const amount = (value) => (value === null ? text.unknown : `${money(Number(value), currency)} ${currency}`);
    const change = (value) => (value === null ? h("strong", {}, text.unknown) : h("strong", { class: tone(value), title: inFull(value, currency) }, `${signed(Number(value), currency)} ${currency}`));
    const figure = (label, value) => h("div", {}, h("small", {}, label), value);
    at("figures").replaceChildren(figure(text.equity, h("strong", { title: equity === null ? null : inFull(equity, currency) }, amount(equity))),
      figure(text.today, change(daily_pnl)), figure(text.week, change(weekly_pnl)), figure(text.entries, h("strong", {}, digits(entries_today, 0))));
  }

  function drawPositions() {
    const rows = [...state.positions.values()].filter((row) => row.is_open);
    replace("positions", rows.length ? rows.map(positionRow) : [emptyRow(text.no_positions, 7)]);
  }
  function positionRow(row) {
    const td = (column, options, ...children) => cell(column, "positions", options, ...children);
    const price = (value) => (value === null ? "–" : money(Number(value), row.currency));
    const unrealised = row.unrealised === null
      ? [text.unknown, h("small", {}, words.cause[row.cause] ?? row.cause)]
      : [h("span", { class: tone(row.unrealised), title: inFull(row.unrealised, row.currency) }, `${signed(Number(row.unrealised), row.currency)} ${row.currency}`), h("small", { class: tone(row.unrealised) }, percent(Number(row.unrealised_rate)))];
    return h("tr", { "data-position": row.id }, td(0, { class: "n", title: row.amount }, digits(Number(row.amount), 8)), td(1, { class: "n" }, price(row.entry)),
      td(2, { class: "n" }, price(row.price)), td(3, { class: "n" }, price(row.stop)), td(4, { class: "n" }, price(row.target)), td(5, { class: "n" }, ...unrealised), td(6, {}, ...protection(row)));
  }

  const UNITS = { fraction: (value) => percent(Number(value)).replace("+", ""), money: (value) => money(Number(value), state.bot.currency), count: (value) => digits(Number(value), 0), seconds: (value) => age(Number(value) * 1000) };
  function drawLimits() {
    if (state.limits_cause) { replace("limits", [empty(fill(text.no_limits, { why: state.limits_cause }))]); return; }
    replace("limits", state.limits.map((row) => {
      const used = row.fraction === null ? null : Number(row.fraction), shown = (value) => (value === null ? "–" : UNITS[row.unit](value)), name = words.limit_name[row.code] ?? row.code;
      const word = used === null ? text.unknown : used >= 1 ? text.used_up : used >= 0.8 ? text.nearly : "";
      return h("li", { class: "limit", "data-limit": row.code }, h("span", {}, name), h("span", { class: "n" }, `${shown(row.value)} / ${shown(row.limit)}`),
        h("progress", { max: "1", value: used === null ? "0" : String(Math.min(used, 1)), "aria-label": name, class: used >= 1 ? "full" : used >= 0.8 ? "near" : "" }),
        h("small", {}, [word, row.origin].filter(Boolean).join(" · ")));
    }));
  }

  function drawCycles() {
    if (!state.cycles.length) { replace("cycles", [empty(text.no_cycles)]); return; }
    if (!opened.size) opened.add(state.cycles[0].id);
    replace("cycles", state.cycles.map((cycle) => {
      const found = new Map(cycle.stages.map((stage) => [stage.stage, stage])), isOpen = opened.has(cycle.id);
      return h("li", { "data-cycle": cycle.id },
        h("button", { type: "button", class: "fold", "data-key": `cycle-${cycle.id}`, "aria-expanded": String(isOpen), onclick: () => { opened[isOpen ? "delete" : "add"](cycle.id); drawCycles(); } },
          time(cycle.slot), chip(TONES.cycle[cycle.status], words.cycle[cycle.status]), ...STAGES.map((name) => h("i", { class: `dot ${TONES.action[found.get(name)?.action] ?? "none"}`, title: `${words.stage[name]}: ${words.action[found.get(name)?.action] ?? text.stage_waiting}` })),
          h("span", { class: "outcome" }, cycle.outcome)),
        isOpen ? h("ol", { class: "stages" }, ...STAGES.map((name) => stageColumn(name, found.get(name)))) : "");
    }));
  }

  const why = (kind, row) => h("a", { href: `/admin/trading/${kind}/${row.id}/why/`, title: text.why }, time(row.created_at));

  function drawDecisions() {
    replace("decisions", state.decisions.length ? state.decisions.map((row) => h("li", { class: "decision", "data-decision": row.id },
      chip(TONES.decision[row.decision], words.decision[row.decision]),
      h("span", {}, h("small", {}, [row.analyst === "rules" ? text.rules : row.analyst, row.confidence === null ? "" : `${digits(Number(row.confidence), 1)} %`].filter(Boolean).join(" · "))),
      h("small", {}, why("decision", row)), h("p", {}, row.reason))) : [empty(text.no_decisions)]);
  }

  function drawTrades() {
    replace("trades", state.trades.length ? state.trades.map((row) => {
      const td = (column, options, ...children) => cell(column, "trades", options, ...children);
      const kind = [words.purpose[row.purpose], row.exit_reason.replaceAll("_", " ")].filter(Boolean).join(" · ");
      return h("tr", { "data-trade": row.id }, td(0, {}, why("trade", row)), td(1, {}, h("span", { class: row.side === "buy" ? "gain" : "loss" }, words.side[row.side]), kind ? h("small", {}, kind) : ""),
        td(2, { class: "n", title: inFull(row.price, row.currency) }, money(Number(row.price), row.currency)), td(3, { class: "n", title: row.amount }, digits(Number(row.amount), 8)),
        td(4, { class: "n", title: inFull(row.total, row.currency) }, money(Number(row.total), row.currency)));
    }) : [emptyRow(text.no_trades, 5)]);
  }

  function drawOrders() {
    replace("orders", state.orders.length ? state.orders.map((row) => {
      const td = (column, options, ...children) => cell(column, "orders", options, ...children);
      const wanted = row.amount === null ? `${money(Number(row.quote_amount), state.bot.currency)} ${state.bot.currency}` : digits(Number(row.amount), 8);
      const kind = row.status === "filled" ? "good" : ["unknown", "disputed"].includes(row.status) ? "bad" : row.is_settled ? "" : "info";
      return h("tr", { "data-order": row.id }, td(0, {}, why("order", row)), td(1, {}, words.side[row.side], h("small", {}, words.purpose[row.purpose])),
        td(2, { class: "n" }, wanted), td(3, { class: "n" }, digits(Number(row.filled_amount), 8)), td(4, {}, chip(kind, words.order[row.status]), row.error ? h("small", {}, row.error) : ""));
    }) : [emptyRow(text.no_orders, 5)]);
  }

  // --- candles ---------------------------------------------------------------------------------------------------------------------------
  let chart = null, candles = null, marks = null, lines = [], drawnMarks = [];
  async function fetchChart() {
    if (!window.LightweightCharts) return;
    let told;
    try { told = await (await fetch(`/bots/${viewer.bot}/candles/`, { headers: { Accept: "application/json" } })).json(); } catch { return; /* the pill says that the server is away */ }
    at("chart-cause").textContent = told.cause ? fill(text.no_chart, { why: told.cause }) : "";
    at("chart").hidden = !told.rows.length;
    if (!told.rows.length) return;
    const isFirst = !chart;
    if (isFirst) makeChart();
    candles.setData(told.rows.map(([instant, open, high, low, close]) => ({ time: instant, open, high, low, close })));
    drawnMarks = told.marks;
    lines.forEach((line) => candles.removePriceLine(line));
    lines = told.lines.map((line) => candles.createPriceLine({ price: line.price, title: words.line[line.kind], lineWidth: 1, lineStyle: line.kind === "entry" ? 0 : 2, color: css(line.kind === "stop" ? "--bad" : line.kind === "target" ? "--good" : "--accent") }));
    paint();
    if (isFirst) chart.timeScale().fitContent();
  }
  function makeChart() {
    const { createSeriesMarkers, CandlestickSeries } = window.LightweightCharts;
    chart = chartIn(at("chart"), { currency: state.bot.currency, repaint: paint });
    candles = chart.addSeries(CandlestickSeries, { priceLineVisible: false });
    marks = createSeriesMarkers(candles, []);
  }
  function paint() {
    candles.applyOptions({ upColor: css("--good"), downColor: css("--bad"), wickUpColor: css("--good"), wickDownColor: css("--bad"), borderVisible: false });
    marks.setMarkers(drawnMarks.map((mark) => ({ time: mark.time, position: mark.side === "buy" ? "belowBar" : "aboveBar", shape: mark.side === "buy" ? "arrowUp" : "arrowDown",
      color: mark.side === "buy" ? css("--good") : css("--bad"), text: words.side[mark.side] })));
  }

  // --- frames ----------------------------------------------------------------------------------------------------------------------------
  const drawAll = () => { drawHead(); drawNotices(); drawFigures(); drawPositions(); drawLimits(); drawCycles(); drawDecisions(); drawTrades(); drawOrders(); };
  const handlers = {
    snapshot(frame) { Object.assign(state, frame, { positions: byId(frame.positions) }); drawAll(); },
    bot({ bot, as_of }) { if (!isOlder("bot", bot.id, as_of)) { state.bot = { ...state.bot, ...bot }; drawHead(); drawNotices(); } },
    cycle({ cycle, as_of }) {
      if (isOlder("cycle", cycle.id, as_of)) return;
      state.cycles = [cycle, ...state.cycles.filter((other) => other.id !== cycle.id)].sort((a, b) => b.slot.localeCompare(a.slot)).slice(0, CYCLES);
      opened.clear();
      drawCycles(); fetchChartSoon();
    },
    decision({ decision }) { state.decisions = newest(state.decisions, decision, KEPT); drawDecisions(); },
    trade({ trade }) { state.trades = newest(state.trades, trade, KEPT); drawTrades(); fetchChartSoon(); },
    positions({ positions, as_of }) {
      for (const row of positions) if (row.bot_id === viewer.bot && !isOlder("position", row.id, as_of)) state.positions.set(row.id, row);
      drawPositions();
    },
    order({ id, status }) { const row = state.orders.find((other) => other.id === id); if (row) { row.status = status; drawOrders(); } },
    kill_switches() { ask(); },
  };
  let chartDue = 0;
  const fetchChartSoon = () => { clearTimeout(chartDue); chartDue = setTimeout(fetchChart, 400); };

  run({ socket: `/ws/bots/${viewer.bot}/`, snapshot: `/bots/${viewer.bot}/snapshot/`, handlers });
  fetchChart();
  setInterval(fetchChart, CHART_EVERY_MS);
})();
