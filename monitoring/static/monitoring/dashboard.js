// The live dashboard: a snapshot first, then numbered events over /ws/dashboard/. Payloads: monitoring/events.py.
"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const words = read("words"), viewer = read("viewer"), text = words.text;
  const at = (id) => document.getElementById(id);
  const SILENT_MS = 45000, BACKOFF_MS = [250, 500, 1000, 2000, 5000, 10000], KEPT = 30, POINTS = 500;
  const STAGES = ["risk_check", "data_collection", "analysis", "execution"];

  const state = { bots: new Map(), positions: new Map(), decisions: [], trades: [], accounts: new Map(), attention: {}, beats: [], seen: new Map() };
  let chosenBot = null, chosenAccount = null, freshTrade = null, lastFrameAt = Date.now();

  // --- words and numbers -------------------------------------------------------------------------------------------------------------
  const fill = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const formats = new Map();
  const digits = (value, places, least = 0) => {
    const key = `${places}/${least}`;
    if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(viewer.language, { maximumFractionDigits: places, minimumFractionDigits: least }));
    return formats.get(key).format(value);
  };
  const money = (value, currency) => {
    if (value === null) return text.unknown;
    const size = Math.abs(value);
    if (["USD", "USDT", "USDC"].includes(currency)) return size >= 1 || size === 0 ? digits(value, 2, 2) : digits(value, 4, 4);
    return size >= 100 || size === 0 ? digits(value, 0) : size >= 1 ? digits(value, 2, 2) : digits(value, 4, 4);
  };
  const signed = (value, currency) => (value > 0 ? "+" : "") + money(value, currency);
  const percent = (fraction) => `${fraction > 0 ? "+" : ""}${digits(fraction * 100, 2, 2)} %`;
  const tone = (value) => (value > 0 ? "gain" : value < 0 ? "loss" : "");
  const age = (ms) => {
    const s = Math.max(0, Math.floor(ms / 1000));
    const [unit, n] = s < 120 ? ["s", s] : s < 7200 ? ["min", Math.floor(s / 60)] : s < 172800 ? ["h", Math.floor(s / 3600)] : ["d", Math.floor(s / 86400)];
    return fill(words.age[unit], { n });
  };
  const when = (iso, options) => new Intl.DateTimeFormat(viewer.language, options).format(new Date(iso));
  const stamp = (iso) => when(iso, { year: "2-digit", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const zone = (iso) => `${when(iso, { dateStyle: "full", timeStyle: "long" })}`;

  // --- elements --------------------------------------------------------------------------------------------------------------------------
  function h(tag, options, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(options || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "onclick") element.addEventListener("click", value);
      else if (name === "class") element.className = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return element;
  }
  const badge = (label) => h("span", { class: `badge ${label.toLowerCase()}` }, label);
  const chip = (kind, label) => h("span", { class: `chip ${kind}` }, label);
  const time = (iso) => h("time", { datetime: iso, title: zone(iso) }, stamp(iso));
  const since = (iso) => h("span", { "data-since": iso, title: zone(iso) }, fill(text.ago, { age: age(Date.now() - Date.parse(iso)) }));
  const empty = (sentence) => h("li", { class: "empty" }, sentence);
  const emptyRow = (sentence, columns) => h("tr", {}, h("td", { class: "empty", colspan: columns }, sentence));

  function replace(id, children) { // keeps the keyboard's place and the scroll position
    const element = at(id), key = element.contains(document.activeElement) ? document.activeElement.dataset.key : null, top = element.scrollTop;
    element.replaceChildren(...children);
    element.scrollTop = top;
    if (key) element.querySelector(`[data-key="${key}"]`)?.focus();
  }

  // --- sections --------------------------------------------------------------------------------------------------------------------------
  const BOT_TONE = { running: "good", requested: "info", starting: "info", stopping: "info", paused: "warn", safe_mode: "bad", failed: "bad", stopped: "" };
  const ACTIVE = ["running", "paused", "safe_mode", "failed"];
  const ACTION_TONE = { continue: "good", skip: "", exit: "warn", stop: "bad" };
  const DECISION_TONE = { buy: "good", sell: "bad", hold: "", abstain: "warn" };
  const CYCLE_TONE = { done: "good", running: "info", failed: "bad", missed: "warn" };

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
        chip(BOT_TONE[bot.status], words.bot[bot.status]), agrees ? "" : h("small", {}, wanted)),
      h("div", { class: "acts" }, ...acts(bot)),
      h("small", {}, [bot.symbol, bot.strategy, bot.interval, bot.account].join(" · ")),
      bot.safe_mode ? h("div", { class: "cause" }, `${text.safe_mode}: ${bot.safe_mode}`) : "",
      bot.status_reason ? h("div", { class: "cause" }, bot.status_reason) : "",
      h("small", { class: "last", title: bot.cycle?.outcome }, ...lastCycle(bot.cycle)));
  }
  const lastCycle = (cycle) => (cycle ? [time(cycle.slot), ` · ${words.cycle[cycle.status]}${cycle.outcome ? ` · ${cycle.outcome}` : ""}`] : [text.no_cycle]);

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
    at("cycle-head").replaceChildren(`${bot.name} · `, time(cycle.slot), " · ", chip(CYCLE_TONE[cycle.status], words.cycle[cycle.status]),
      cycle.trigger === "operator" ? ` · ${words.trigger.operator}` : "", " · ", since(cycle.finished_at ?? cycle.recorded_at));
    const found = new Map(cycle.stages.map((stage) => [stage.stage, stage]));
    replace("stages", STAGES.map((name) => stageColumn(name, found.get(name))));
  }

  function stageColumn(name, stage) {
    if (!stage) return h("li", { class: "waiting" }, h("div", { class: "stage-head" }, words.stage[name]), h("small", {}, text.stage_waiting));
    return h("li", { "data-stage": name },
      h("div", { class: "stage-head" }, words.stage[name], chip(ACTION_TONE[stage.action], words.action[stage.action]), h("small", {}, `${digits(stage.duration_ms, 0)} ms`)),
      h("ul", { class: "reasons" }, ...stage.reasons.map(reasonLine)));
  }
  function reasonLine(reason) {
    const facts = [reason.value && fill(text.value, { value: reason.value }), reason.limit && fill(text.limit, { limit: reason.limit }), reason.remedy];
    const small = facts.filter(Boolean).join(" · ");
    return h("li", { title: reason.code }, reason.message || reason.code, small ? h("small", {}, small) : "");
  }

  const cell = (column, table, options, ...children) => h("td", { ...options, "data-label": labels(table)[column] }, h("div", {}, ...children));
  const labels = (id) => [...at(id).closest("table").querySelectorAll("th")].map((head) => head.textContent);

  function drawPositions() {
    const rows = [...state.positions.values()].filter((row) => row.is_open);
    replace("positions", rows.length ? rows.map(positionRow) : [emptyRow(text.no_positions, 9)]);
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
      td(8, { class: "n" }, ...unrealised));
  }

  function drawDecisions() {
    replace("decisions", state.decisions.length ? state.decisions.map((row) => h("li", { class: "decision", "data-decision": row.id },
      chip(DECISION_TONE[row.decision], words.decision[row.decision]),
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
      td(3, { class: "n", title: row.price }, money(Number(row.price), row.currency)), td(4, { class: "n", title: row.amount }, digits(Number(row.amount), 8)),
      td(5, { class: "n", title: `${row.total} ${row.currency}` }, money(Number(row.total), row.currency)),
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

  function drawBeats() {
    at("beats").replaceChildren(...(state.beats.length ? state.beats.map((beat) => {
      const isLate = Date.now() - Date.parse(beat.beat_at) > beat.late_after_s * 1000;
      return h("span", { class: isLate ? "late" : "", title: beat.name }, `${beat.process} · `, since(beat.beat_at));
    }) : [text.no_beats]));
  }

  // --- equity ----------------------------------------------------------------------------------------------------------------------------
  let chart = null, area = null, marks = null, drawnKey = "";
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const seconds = (iso) => Math.floor(Date.parse(iso) / 1000);

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
    const value = last.value === null ? h("strong", {}, text.unknown) : h("strong", {}, `${money(Number(last.value), "KRW")} KRW`);
    const change = last.value === null || !first ? "" : h("span", { class: tone(last.value - first.value) },
      fill(text.since_start, { change: `${signed(last.value - first.value, "KRW")} (${percent(last.value / first.value - 1)})` }));
    at("equity-figure").replaceChildren(badge(account.badge), value, last.value === null ? h("span", { class: "cause" }, fill(text.value_unknown, { cause: last.cause })) : change, h("small", {}, time(last.at)));
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
    const { createChart, createSeriesMarkers, AreaSeries, ColorType } = window.LightweightCharts;
    chart = createChart(at("chart"), { autoSize: true, ...colours(ColorType),
      rightPriceScale: { borderVisible: false }, timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false,
        tickMarkFormatter: (instant, kind) => when(instant * 1000, kind >= 3 ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } : { month: "short", day: "numeric" }) },
      localization: { locale: viewer.language, priceFormatter: (value) => money(value, "KRW"), timeFormatter: (instant) => stamp(instant * 1000) } });
    area = chart.addSeries(AreaSeries, { lineWidth: 2, priceLineVisible: false });
    marks = createSeriesMarkers(area, []);
    paint();
    let width = 0;
    new ResizeObserver(([entry]) => { if (entry.contentRect.width !== width) { width = entry.contentRect.width; chart.timeScale().fitContent(); } }).observe(at("chart"));
    for (const source of [document, matchMedia("(prefers-color-scheme: dark)")]) source.addEventListener(source === document ? "themechange" : "change", () => { chart.applyOptions(colours(ColorType)); paint(); drawMarks(); });
  }
  const colours = (ColorType) => ({ layout: { background: { type: ColorType.Solid, color: css("--card") }, textColor: css("--quiet"), fontFamily: getComputedStyle(document.body).fontFamily, attributionLogo: true },
    grid: { vertLines: { visible: false }, horzLines: { color: css("--line") } } });
  const paint = () => area.applyOptions({ lineColor: css("--accent"), topColor: `${css("--accent")}33`, bottomColor: `${css("--accent")}05` });

  // --- frames ----------------------------------------------------------------------------------------------------------------------------
  function isOlder(kind, id, asOf) { // two processes may deliver out of order
    const key = `${kind} ${id}`;
    if ((state.seen.get(key) ?? "") > asOf) return true;
    state.seen.set(key, asOf);
    return false;
  }
  const byId = (rows) => new Map(rows.map((row) => [row.id, row]));
  const newest = (rows, row) => [row, ...rows.filter((other) => other.id !== row.id)].sort((a, b) => b.created_at.localeCompare(a.created_at) || b.id - a.id).slice(0, KEPT);

  const handlers = {
    snapshot(frame) {
      Object.assign(state, { bots: byId(frame.bots), positions: byId(frame.positions), decisions: frame.decisions, trades: frame.trades,
        accounts: byId(frame.accounts), attention: frame.attention, beats: frame.beats, seen: new Map() });
      drawBots(); drawCycle(); drawPositions(); drawDecisions(); drawTrades(); drawNotices(); drawBeats(); drawAccounts(); drawChart();
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
    decision({ decision }) { state.decisions = newest(state.decisions, decision); drawDecisions(); },
    trade({ trade }) { freshTrade = trade.id; state.trades = newest(state.trades, trade); drawTrades(); drawMarks(); },
    positions({ positions, as_of }) {
      for (const row of positions) if (!isOlder("position", row.id, as_of)) state.positions.set(row.id, row);
      drawPositions();
    },
    equity({ account_id, point }) {
      const account = state.accounts.get(account_id);
      if (!account) return;
      account.points = [...account.points.filter((other) => other.at !== point.at), point].sort((a, b) => a.at.localeCompare(b.at)).slice(-POINTS);
      if (account_id === chosenAccount) drawChart();
    },
    order({ status }) { if (status === "unknown" || status === "disputed" || state.attention.unknown_orders) ask(); },
    kill_switches() { ask(); },
    live({ is_live, cause }) { show(is_live ? "live" : cause === "connecting" ? "connecting" : "away", cause); },
    error({ message }) { console.warn(message); },
  };

  // --- connection ------------------------------------------------------------------------------------------------------------------------
  let socket = null, attempt = 0, seq = 0;
  function show(name, cause = "") {
    const pill = at("connection");
    pill.dataset.state = name;
    if (pill.querySelector("b").textContent !== words.connection[name]) pill.querySelector("b").textContent = words.connection[name];
    pill.title = cause;
  }
  const ask = () => socket?.readyState === WebSocket.OPEN && socket.send('{"type":"refresh"}');

  function connect() {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/dashboard/`);
    seq = 0;
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      lastFrameAt = Date.now();
      attempt = 0;
      if (frame.seq !== seq + 1) ask();
      seq = frame.seq;
      handlers[frame.type]?.(frame);
    };
    socket.onclose = ({ code }) => {
      if (code === 4401) { location.reload(); return; }
      show("offline");
      const pause = BACKOFF_MS[Math.min(attempt++, BACKOFF_MS.length - 1)];
      setTimeout(connect, pause * (0.75 + Math.random() / 2));
      if (attempt > 1) fetchSnapshot();
    };
  }
  async function fetchSnapshot() { // the page lives on without a websocket, and finds out that it was logged out
    try {
      const answer = await fetch("/dashboard/snapshot/", { headers: { Accept: "application/json" } });
      if (answer.redirected || answer.status === 403) { location.reload(); return; }
      if (answer.ok) { handlers.snapshot(await answer.json()); lastFrameAt = Date.now(); }
    } catch { /* the server is away; the pill says so */ }
  }

  async function steer(button, bot, name, question) {
    if (question && !window.confirm(question)) return;
    button.disabled = true;
    try {
      const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
      const answer = await fetch(`/dashboard/bots/${bot.id}/${name}/`, { method: "POST", headers: { "X-CSRFToken": token, Accept: "application/json" } });
      const { message } = await answer.json();
      say(message, !answer.ok);
      ask();
    } catch { say(text.failed, true); }
    button.disabled = false;
  }
  function say(sentence, isBad) {
    const line = h("p", { class: isBad ? "bad" : "" }, sentence);
    at("said").append(line);
    setTimeout(() => line.remove(), isBad ? 12000 : 6000);
  }

  setInterval(() => {
    for (const element of document.querySelectorAll("[data-since]")) element.textContent = fill(text.ago, { age: age(Date.now() - Date.parse(element.dataset.since)) });
    for (const element of document.querySelectorAll("[data-age]")) element.textContent = age(Date.now() - Date.parse(element.dataset.age));
    at("connection").querySelector("small").textContent = fill(words.connection.updated, { age: age(Date.now() - lastFrameAt) });
    drawNotices();
    if (Date.now() - lastFrameAt > SILENT_MS && socket?.readyState === WebSocket.OPEN) { lastFrameAt = Date.now(); socket.close(); } // a laptop that slept
  }, 1000);

  show("connecting");
  handlers.snapshot(read("snapshot"));
  connect();
})();
