// The live dashboard: a snapshot first, then numbered events over /ws/dashboard/.
"use strict";
(() => {
  const { words, viewer, text, at, fill, digits, money, signed, percent, tone, age, zone, inFull, h, badge, chip, time, since, upcoming, empty, emptyRow, replace,
    TONES, STAGES, ACTIVE, cell, stageColumn, protection, css, seconds, chartIn, isOlder, byId, newest, ask, steer, run } = dg;
  const KEPT = 30, POINTS = 500;
  const state = { bots: new Map(), positions: new Map(), decisions: [], trades: [], accounts: new Map(), attention: {}, alarms: [], budgets: [], beats: [] };
  let chosenBot = null, chosenAccount = null, freshTrade = null;

  // --- sections --------------------------------------------------------------------------------------------------------------------------
  function drawBots() {
    const bots = [...state.bots.values()];
    if (!state.bots.has(chosenBot)) chosenBot = newestBot(bots)?.id ?? null;
    replace("bots", bots.length ? bots.map(botRow) : [empty(text.no_bots)]);
    const running = bots.filter((bot) => bot.is_wanted).length;
    at("running").textContent = fill(text.running, { running, all: bots.length });
  }
  const newestBot = (bots) => bots.reduce((best, bot) => ((bot.cycle?.recorded_at ?? "") > (best?.cycle?.recorded_at ?? "") ? bot : best ?? bot), null);

  function botRow(bot) {
    const agrees = bot.is_wanted === ACTIVE.includes(bot.status);
    const wanted = fill(text.wanted, { wanted: bot.is_wanted ? text.on : text.off, actual: words.bot[bot.status] });
    return h("li", { class: `bot${bot.id === chosenBot ? " chosen" : ""}`, "data-bot": bot.id },
      h("div", { class: "name" }, badge(bot.badge),
        h("button", { type: "button", "data-key": `bot-${bot.id}`, "aria-pressed": String(bot.id === chosenBot), onclick: () => choose(bot) }, bot.name),
        chip(TONES.bot[bot.status], words.bot[bot.status]), agrees ? "" : h("small", {}, wanted)),
      h("div", { class: "acts" }, ...acts(bot)),
      h("small", {}, [bot.symbol, bot.strategy, bot.interval, bot.account].join(" · "), " · ", h("a", { href: `/bots/${bot.id}/`, "data-key": `page-${bot.id}` }, text.bot_page)),
      bot.safe_mode ? h("div", { class: "cause" }, `${text.safe_mode}: ${bot.safe_mode}`) : "",
      bot.status_reason ? h("div", { class: "cause" }, bot.status_reason) : "",
      nearestLimit(bot.limit),
      h("small", { class: "last", title: bot.cycle?.outcome }, ...lastCycle(bot)));
  }
  function nearestLimit(limit) {
    if (!limit?.fraction) return "";
    const used = Number(limit.fraction), name = words.limit_name[limit.code] ?? limit.code;
    return h("div", { class: "near-limit", title: fill(text.of_limit, { share: percent(Math.min(used, 1)).replace("+", ""), name, origin: limit.origin }) },
      h("progress", { max: "1", value: String(Math.min(used, 1)), "aria-label": name, class: used >= 1 ? "full" : used >= 0.8 ? "near" : "" }), h("small", {}, `${name} ${digits(used * 100, 0)} %`));
  }
  const lastCycle = (bot) => [...(bot.next_at ? [text.next, " ", upcoming(bot.next_at), " · "] : []), ...(bot.data_at ? [text.candles, " ", since(bot.data_at), " · "] : []),
    ...(bot.cycle ? [time(bot.cycle.slot), ` · ${words.cycle[bot.cycle.status]}${bot.cycle.outcome ? ` · ${bot.cycle.outcome}` : ""}`] : [text.no_cycle])];

  function acts(bot) {
    if (!viewer.may_operate) return [];
    const isLive = bot.badge === "LIVE";
    const act = (name, label, question) => h("button", {
      type: "button", class: "act", "data-key": `${name}-${bot.id}`, "data-act": name, "aria-label": `${label}: ${bot.name}`,
      onclick: (click) => steer(click.currentTarget, bot, name, isLive && question ? fill(question, { name: bot.name }) : ""),
    }, label);
    return [act("run", at("bots").dataset.run, text.confirm_run),
      bot.is_wanted ? act("stop", at("bots").dataset.stop) : act("start", at("bots").dataset.start, text.confirm_start)];
  }

  function choose(bot) {
    chosenBot = bot.id;
    chosenAccount = bot.account_id;
    drawBots(); drawCycle(); drawAccounts(); drawChart();
  }

  function drawCycle() {
    const bot = state.bots.get(chosenBot), cycle = bot?.cycle;
    at("stages").className = cycle ? "" : "alone";
    if (!cycle) {
      at("cycle-head").textContent = bot ? bot.name : "";
      replace("stages", [empty(bot ? text.no_cycle : text.no_bots)]);
      return;
    }
    at("cycle-head").replaceChildren(`${bot.name} · `, time(cycle.slot), " · ", chip(TONES.cycle[cycle.status], words.cycle[cycle.status]),
      cycle.trigger === "operator" ? ` · ${words.trigger.operator}` : "", " · ", since(cycle.finished_at ?? cycle.recorded_at));
    const found = new Map(cycle.stages.map((stage) => [stage.stage, stage]));
    replace("stages", STAGES.map((name) => stageColumn(name, found.get(name))));
  }

  function drawPositions() {
    const rows = [...state.positions.values()].filter((row) => row.is_open);
    replace("positions", rows.length ? rows.map(positionRow) : [emptyRow(text.no_positions, 10)]);
  }
  function positionRow(row) {
    const td = (column, options, ...children) => cell(column, "positions", options, ...children);
    const price = (value) => (value === null ? h("span", { class: "quiet" }, "–") : money(Number(value), row.currency));
    const held = row.market_at ? age(Date.parse(row.market_at) - Date.parse(row.opened_at)) : h("span", { "data-age": row.opened_at }, age(Date.now() - Date.parse(row.opened_at)));
    const unrealised = row.unrealised === null
      ? [text.unknown, h("small", {}, words.cause[row.cause] ?? row.cause)]
      : [h("span", { class: tone(row.unrealised) }, `${signed(Number(row.unrealised), row.currency)} ${row.currency}`), h("small", { class: tone(row.unrealised) }, percent(Number(row.unrealised_rate)))];
    return h("tr", { "data-position": row.id },
      td(0, {}, badge(row.badge), " ", row.bot), td(1, {}, row.symbol), td(2, { class: "n", title: row.amount }, digits(Number(row.amount), 8)),
      td(3, { class: "n" }, price(row.entry)), td(4, { class: "n" }, row.price === null ? text.unknown : price(row.price)),
      td(5, { class: "n" }, price(row.stop)), td(6, { class: "n" }, price(row.target)), td(7, { class: "n", title: zone(row.opened_at) }, held),
      td(8, { class: "n" }, ...unrealised), td(9, {}, ...protection(row)));
  }

  function drawDecisions() {
    replace("decisions", state.decisions.length ? state.decisions.map((row) => h("li", { class: "decision", "data-decision": row.id },
      chip(TONES.decision[row.decision], words.decision[row.decision]),
      h("span", {}, `${row.symbol} `, h("small", {}, [row.bot, row.analyst === "rules" ? text.rules : row.analyst, row.confidence === null ? "" : `${digits(Number(row.confidence), 1)} %`].filter(Boolean).join(" · "))),
      h("small", {}, time(row.created_at)), h("p", {}, row.reason))) : [empty(text.no_decisions)]);
  }

  function drawTrades() {
    replace("trades", state.trades.length ? state.trades.map(tradeRow) : [emptyRow(text.no_trades, 7)]);
    freshTrade = null;
  }
  function tradeRow(row) {
    const td = (column, options, ...children) => cell(column, "trades", options, ...children);
    const kind = [words.purpose[row.purpose], row.exit_reason.replaceAll("_", " ")].filter(Boolean).join(" · ");
    return h("tr", { "data-trade": row.id, class: row.id === freshTrade ? "new" : null },
      td(0, {}, time(row.created_at)), td(1, {}, badge(row.badge), " ", row.bot),
      td(2, {}, h("span", { class: row.side === "buy" ? "gain" : "loss" }, words.side[row.side]), " ", row.symbol, kind ? h("small", {}, kind) : ""),
      td(3, { class: "n", title: inFull(row.price, row.currency) }, money(Number(row.price), row.currency)), td(4, { class: "n", title: row.amount }, digits(Number(row.amount), 8)),
      td(5, { class: "n", title: inFull(row.total, row.currency) }, money(Number(row.total), row.currency)),
      td(6, { class: "n", title: `${row.fee} ${row.fee_currency}` }, money(Number(row.fee), row.fee_currency)));
  }

  function drawNotices() {
    const named = (test) => [...state.accounts.values()].filter((account) => test(account.badge)).map((account) => account.name).join(", ");
    const made = named((label) => label === "SIMULATED" || label === "REPLAY"), real = named((label) => label === "LIVE");
    const doubtful = state.attention.unknown_orders;
    const late = state.beats.filter((beat) => Date.now() - Date.parse(beat.beat_at) > beat.late_after_s * 1000);
    const held = state.attention.kill_switches ?? [], naked = state.attention.unprotected ?? [];
    const badge = document.querySelector(".kill-switch");
    if (badge) { badge.classList.toggle("dg-bad", held.length > 0); badge.classList.toggle("dg-quiet", !held.length); badge.title = held.join("\n"); }
    const notices = [
      ...held.map((name) => ["bad", fill(text.kill_switch, { name })]),
      naked.length ? ["bad", fill(text.unprotected, { names: naked.join(", ") })] : null,
      doubtful ? ["bad", fill(text.unknown_orders, { count: doubtful })] : null,
      late.length ? ["warn", fill(text.silent, { names: late.map((beat) => beat.name).join(", ") })] : null,
      real ? ["bad", fill(text.live_money, { names: real })] : null,
      made ? ["sim", fill(text.simulated, { names: made })] : null,
    ].filter(Boolean);
    const drawn = notices.map((notice) => notice.join(" ")).join("\n");
    if (at("notices").dataset.drawn === drawn) return; // a screen reader says it once
    at("notices").dataset.drawn = drawn;
    at("notices").replaceChildren(...notices.map(([kind, sentence]) => h("div", { class: `notice ${kind}` }, sentence)));
  }

  function drawAlarms() {
    replace("alarms", state.alarms.length ? state.alarms.map((row) => h("li", { class: "alarm", "data-alarm": `${row.kind}-${row.id}` },
      chip(row.kind === "books" ? "bad" : "warn", words.alarm[row.kind]), h("span", {}, h("b", {}, row.who), " ", row.message), h("small", {}, time(row.at)))) : [empty(text.no_alarms)]);
  }
  function drawBudgets() {
    at("budgets-card").hidden = !state.budgets.length;
    const usd = (value) => money(Number(value), "USD");
    const bar = (name, spent, most) => { const used = Number(most) ? Number(spent) / Number(most) : 1; return h("div", { class: "limit" }, h("span", {}, name), h("span", { class: "n" }, `${usd(spent)} / ${usd(most)} USD`), h("progress", { max: "1", value: String(Math.min(used, 1)), "aria-label": name, class: used >= 1 ? "full" : used >= 0.8 ? "near" : "" })); };
    replace("budgets", state.budgets.map((row) => h("li", {}, h("b", {}, row.name), bar(text.today, row.day, row.day_budget), bar(text.month, row.month, row.month_budget))));
  }

  function drawBeats() {
    at("beats").replaceChildren(...(state.beats.length ? state.beats.map((beat) => {
      const isLate = Date.now() - Date.parse(beat.beat_at) > beat.late_after_s * 1000;
      return h("span", { class: isLate ? "late" : "", title: beat.name }, `${beat.process} · `, since(beat.beat_at));
    }) : [text.no_beats]));
  }

  // --- equity ----------------------------------------------------------------------------------------------------------------------------
  let chart = null, area = null, marks = null, drawnKey = "";

  function drawAccounts() {
    if (!state.accounts.has(chosenAccount)) chosenAccount = state.bots.get(chosenBot)?.account_id ?? [...state.accounts.keys()][0] ?? null;
    replace("accounts", [...state.accounts.values()].map((account) => h("button", {
      type: "button", "data-key": `account-${account.id}`, "aria-pressed": String(account.id === chosenAccount),
      onclick: () => { chosenAccount = account.id; drawAccounts(); drawChart(); } }, account.name)));
  }

  function drawFigure(account) {
    const points = account?.points ?? [], last = points.at(-1);
    if (!last) { at("equity-figure").replaceChildren(h("span", { class: "quiet" }, text.no_equity)); return; }
    const known = points.filter((point) => point.value !== null), first = known[0];
    const value = last.value === null ? h("strong", {}, text.unknown) : h("strong", { title: inFull(last.value, "KRW") }, `${money(Number(last.value), "KRW")} KRW`);
    const change = last.value === null || !first ? "" : h("span", { class: tone(last.value - first.value) },
      fill(text.since_start, { change: `${signed(last.value - first.value, "KRW")} (${percent(last.value / first.value - 1)})` }));
    const made = (label, sum) => h("span", { class: "made" }, h("small", {}, label), " ", sum === null ? h("b", {}, text.unknown) : h("b", { class: tone(sum), title: inFull(sum, account.money.currency) }, `${signed(Number(sum), account.money.currency)} ${account.money.currency}`));
    at("equity-figure").replaceChildren(badge(account.badge), value, last.value === null ? h("span", { class: "cause" }, fill(text.value_unknown, { cause: last.cause })) : "",
      made(text.today, account.money.daily_pnl), made(text.week, account.money.weekly_pnl), change ? h("small", { class: "since" }, change) : "", h("small", {}, time(last.at)));
  }

  function drawChart() {
    const account = state.accounts.get(chosenAccount);
    drawFigure(account);
    if (!window.LightweightCharts) return;
    if (!chart) makeChart();
    const data = new Map((account?.points ?? []).map((point) => [seconds(point.at), point.value === null ? { time: seconds(point.at) } : { time: seconds(point.at), value: Number(point.value) }]));
    area.setData([...data.values()].sort((a, b) => a.time - b.time));
    drawMarks();
    const key = String(chosenAccount);
    if (drawnKey !== key) { drawnKey = key; chart.timeScale().fitContent(); }
  }

  function drawMarks() {
    const times = (state.accounts.get(chosenAccount)?.points ?? []).map((point) => seconds(point.at)).sort((a, b) => a - b);
    if (!marks || !times.length) { marks?.setMarkers([]); return; }
    const snap = (instant) => times.find((one) => one >= instant) ?? times.at(-1);
    marks.setMarkers(state.trades.filter((row) => row.account_id === chosenAccount && seconds(row.created_at) >= times[0]).map((row) => ({
      time: snap(seconds(row.created_at)), position: row.side === "buy" ? "belowBar" : "aboveBar", shape: row.side === "buy" ? "arrowUp" : "arrowDown",
      color: row.side === "buy" ? css("--good") : css("--bad"), text: words.side[row.side] })).sort((a, b) => a.time - b.time));
  }

  function makeChart() {
    const { createSeriesMarkers, AreaSeries } = window.LightweightCharts;
    chart = chartIn(at("chart"), { currency: "KRW", repaint: () => { paint(); drawMarks(); } });
    area = chart.addSeries(AreaSeries, { lineWidth: 2, priceLineVisible: false });
    marks = createSeriesMarkers(area, []);
    paint();
  }
  const paint = () => area.applyOptions({ lineColor: css("--accent"), topColor: `${css("--accent")}33`, bottomColor: `${css("--accent")}05` });

  // --- frames ----------------------------------------------------------------------------------------------------------------------------
  const handlers = {
    snapshot(frame) {
      Object.assign(state, { bots: byId(frame.bots), positions: byId(frame.positions), decisions: frame.decisions, trades: frame.trades,
        accounts: byId(frame.accounts), attention: frame.attention, alarms: frame.alarms, budgets: frame.budgets, beats: frame.beats });
      drawBots(); drawCycle(); drawPositions(); drawDecisions(); drawTrades(); drawNotices(); drawAlarms(); drawBudgets(); drawBeats(); drawAccounts(); drawChart();
    },
    bot({ bot, as_of }) {
      if (isOlder("bot", bot.id, as_of)) return;
      state.bots.set(bot.id, bot);
      drawBots(); drawCycle();
    },
    cycle({ cycle, as_of }) {
      const bot = state.bots.get(cycle.bot_id);
      if (!bot || isOlder("cycle", cycle.bot_id, as_of) || (bot.cycle && bot.cycle.slot > cycle.slot)) return;
      bot.cycle = cycle;
      drawBots();
      if (bot.id === chosenBot) drawCycle();
    },
    decision({ decision }) { state.decisions = newest(state.decisions, decision, KEPT); drawDecisions(); },
    trade({ trade }) { freshTrade = trade.id; state.trades = newest(state.trades, trade, KEPT); drawTrades(); drawMarks(); },
    positions({ positions, as_of }) {
      for (const row of positions) if (!isOlder("position", row.id, as_of)) state.positions.set(row.id, row);
      drawPositions();
    },
    equity({ account_id, point, money: made }) {
      const account = state.accounts.get(account_id);
      if (!account) return;
      account.money = made;
      account.points = [...account.points.filter((other) => other.at !== point.at), point].sort((a, b) => a.at.localeCompare(b.at)).slice(-POINTS);
      if (account_id === chosenAccount) drawChart();
    },
    order({ status }) { if (status === "unknown" || status === "disputed" || state.attention.unknown_orders) ask(); },
    kill_switches() { ask(); },
  };

  run({ socket: "/ws/dashboard/", snapshot: "/dashboard/snapshot/", handlers, everySecond: drawNotices });
})();
