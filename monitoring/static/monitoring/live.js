// What live pages share: words, numbers, elements, the socket. Payloads: monitoring/events.py. Pages use it as `dg`.
"use strict";
const dg = (() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const words = read("words"), viewer = read("viewer"), text = words.text;
  const at = (id) => document.getElementById(id);
  const SILENT_MS = 45000, BACKOFF_MS = [250, 500, 1000, 2000, 5000, 10000];

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
  const korean = (value) => { // 123456789 → 1억 2,345만 6,789: how Koreans read large sums, for tooltips
    let rest = Math.round(Math.abs(value));
    if (rest < 10000) return "";
    const parts = [];
    for (const [unit, size] of [["조", 1e12], ["억", 1e8], ["만", 1e4], ["", 1]]) {
      const n = Math.floor(rest / size);
      if (n) parts.push(`${digits(n, 0)}${unit}`);
      rest -= n * size;
    }
    return `${value < 0 ? "−" : ""}${parts.join(" ")}`;
  };
  const inFull = (value, currency) => [`${value} ${currency}`, currency === "KRW" ? korean(Number(value)) : ""].filter(Boolean).join(" · ");
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
  const timeZone = () => new Intl.DateTimeFormat(viewer.language, { timeZoneName: "short" }).formatToParts().find((part) => part.type === "timeZoneName").value;
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

  const TONES = {
    bot: { running: "good", requested: "info", starting: "info", stopping: "info", paused: "warn", safe_mode: "bad", failed: "bad", stopped: "" },
    action: { continue: "good", skip: "", exit: "warn", stop: "bad" },
    decision: { buy: "good", sell: "bad", hold: "", abstain: "warn" },
    cycle: { done: "good", running: "info", failed: "bad", missed: "warn" },
  };
  const STAGES = ["risk_check", "data_collection", "analysis", "execution"];
  const ACTIVE = ["running", "paused", "safe_mode", "failed"];

  const cell = (column, table, options, ...children) => h("td", { ...options, "data-label": labels(table)[column] }, h("div", {}, ...children));
  const labels = (id) => [...at(id).closest("table").querySelectorAll("th")].map((head) => head.textContent);

  function stageColumn(name, stage) {
    if (!stage) return h("li", { class: "waiting" }, h("div", { class: "stage-head" }, words.stage[name]), h("small", {}, text.stage_waiting));
    return h("li", { "data-stage": name },
      h("div", { class: "stage-head" }, words.stage[name], chip(TONES.action[stage.action], words.action[stage.action]), h("small", {}, `${digits(stage.duration_ms, 0)} ms`)),
      h("ul", { class: "reasons" }, ...stage.reasons.map(reasonLine)));
  }
  function reasonLine(reason) {
    const facts = [reason.value && fill(text.value, { value: reason.value }), reason.limit && fill(text.limit, { limit: reason.limit }), reason.remedy];
    const small = facts.filter(Boolean).join(" · ");
    return h("li", { title: reason.code }, reason.message || reason.code, small ? h("small", {}, small) : "");
  }

  function protection(row) { // who sells when the stop is reached, and whether that one still looks
    if (!row.guards.length) return [chip("bad", text.no_guard)];
    return row.guards.map((guard) => {
      const silent = guard.seen_at && guard.kept_by === "local" && Date.now() - Date.parse(guard.seen_at) > 10000 + 5000;
      return h("div", {}, chip(guard.state === "live" && !silent ? "good" : "warn", words.kept_by[guard.kept_by]), guard.seen_at ? h("small", {}, since(guard.seen_at)) : "");
    });
  }

  // --- charts ----------------------------------------------------------------------------------------------------------------------------
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const seconds = (iso) => Math.floor(Date.parse(iso) / 1000);
  const chartColours = (ColorType) => ({ layout: { background: { type: ColorType.Solid, color: css("--card") }, textColor: css("--quiet"), fontFamily: getComputedStyle(document.body).fontFamily, attributionLogo: true },
    grid: { vertLines: { visible: false }, horzLines: { color: css("--line") } } });

  function chartIn(element, { currency, repaint, options }) { // a chart that follows width, theme and language; repaint() colours its series
    const { createChart, ColorType } = window.LightweightCharts;
    const chart = createChart(element, { autoSize: true, ...chartColours(ColorType),
      rightPriceScale: { borderVisible: false }, timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false,
        tickMarkFormatter: (instant, kind) => when(instant * 1000, kind >= 3 ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } : { month: "short", day: "numeric" }) },
      localization: { locale: viewer.language, priceFormatter: (value) => money(value, currency), timeFormatter: (instant) => stamp(instant * 1000) }, ...options });
    let width = 0;
    new ResizeObserver(([entry]) => { if (entry.contentRect.width !== width) { width = entry.contentRect.width; chart.timeScale().fitContent(); } }).observe(element);
    for (const source of [document, matchMedia("(prefers-color-scheme: dark)")]) source.addEventListener(source === document ? "themechange" : "change", () => { chart.applyOptions(chartColours(ColorType)); repaint(); });
    return chart;
  }

  // --- frames ----------------------------------------------------------------------------------------------------------------------------
  const seen = new Map();
  function isOlder(kind, id, asOf) { // two processes may deliver out of order
    const key = `${kind} ${id}`;
    if ((seen.get(key) ?? "") > asOf) return true;
    seen.set(key, asOf);
    return false;
  }
  const byId = (rows) => new Map(rows.map((row) => [row.id, row]));
  const newest = (rows, row, kept) => [row, ...rows.filter((other) => other.id !== row.id)].sort((a, b) => b.created_at.localeCompare(a.created_at) || b.id - a.id).slice(0, kept);

  // --- connection ------------------------------------------------------------------------------------------------------------------------
  let socket = null, attempt = 0, seq = 0, lastFrameAt = Date.now(), page = null;
  function show(name, cause = "") {
    const pill = at("connection");
    pill.dataset.state = name;
    if (pill.querySelector("b").textContent !== words.connection[name]) pill.querySelector("b").textContent = words.connection[name];
    pill.title = cause;
  }
  const ask = () => socket?.readyState === WebSocket.OPEN && socket.send('{"type":"refresh"}');

  const always = {
    live({ is_live, cause }) { show(is_live ? "live" : cause === "connecting" ? "connecting" : "away", cause); },
    error({ message }) { console.warn(message); },
  };
  function take(frame) {
    if (frame.type === "snapshot") seen.clear();
    (page.handlers[frame.type] ?? always[frame.type])?.(frame);
  }

  function connect() {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${page.socket}`);
    seq = 0;
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      lastFrameAt = Date.now();
      attempt = 0;
      if (frame.seq !== seq + 1) ask();
      seq = frame.seq;
      take(frame);
    };
    socket.onclose = ({ code }) => {
      if (code === 4401 || code === 4404) { location.reload(); return; }
      show("offline");
      const pause = BACKOFF_MS[Math.min(attempt++, BACKOFF_MS.length - 1)];
      setTimeout(connect, pause * (0.75 + Math.random() / 2));
      if (attempt > 1) fetchSnapshot();
    };
  }
  async function fetchSnapshot() { // the page lives on without a websocket, and finds out that it was logged out
    try {
      const answer = await fetch(page.snapshot, { headers: { Accept: "application/json" } });
      if (answer.redirected || answer.status === 403) { location.reload(); return; }
      if (answer.ok) { take(await answer.json()); lastFrameAt = Date.now(); }
    } catch { /* the server is away; the pill says so */ }
  }

  const token = () => document.querySelector("[name=csrfmiddlewaretoken]").value;
  const post = (address, body) => fetch(address, { method: "POST", body, headers: { "X-CSRFToken": token(), Accept: "application/json" } });
  async function steer(button, bot, name, question) {
    if (question && !window.confirm(question)) return;
    button.disabled = true;
    try {
      const answer = await post(`/dashboard/bots/${bot.id}/${name}/`);
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

  function run({ socket: address, snapshot, handlers, everySecond = () => {} }) {
    page = { socket: address, snapshot, handlers };
    setInterval(() => {
      for (const element of document.querySelectorAll("[data-since]")) element.textContent = fill(text.ago, { age: age(Date.now() - Date.parse(element.dataset.since)) });
      for (const element of document.querySelectorAll("[data-age]")) element.textContent = age(Date.now() - Date.parse(element.dataset.age));
      for (const element of document.querySelectorAll("[data-until]")) element.textContent = until(element.dataset.until);
      at("connection").querySelector("small").textContent = fill(words.connection.updated, { age: age(Date.now() - lastFrameAt) });
      everySecond();
      if (Date.now() - lastFrameAt > SILENT_MS && socket?.readyState === WebSocket.OPEN) { lastFrameAt = Date.now(); socket.close(); } // a laptop that slept
    }, 1000);
    show("connecting");
    take(read("snapshot"));
    connect();
    if (at("zone")) at("zone").textContent = fill(text.zone, { zone: `${Intl.DateTimeFormat().resolvedOptions().timeZone} (${timeZone()})` });
  }
  const until = (iso) => (Date.parse(iso) <= Date.now() ? text.due : fill(text.in_time, { age: age(Date.parse(iso) - Date.now()) }));
  const upcoming = (iso) => h("span", { "data-until": iso, title: zone(iso) }, until(iso));

  return { words, viewer, text, at, fill, digits, money, signed, percent, tone, age, when, stamp, zone, inFull, h, badge, chip, time, since, upcoming, empty, emptyRow,
    replace, TONES, STAGES, ACTIVE, cell, stageColumn, protection, css, seconds, chartIn, isOlder, byId, newest, ask, steer, say, post, run };
})();
