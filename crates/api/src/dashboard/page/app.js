// The page: listens to the process, and shows what it says.

import { Chart, ago } from "./chart.js";
import { Switch } from "./switch.js";

const REMEMBERED = 300;
// Nothing for so long, from a stream that tells something every second, means that it is broken.
const SILENCE_MS = 5000;
const RETRY_MS = 2000;
// Who listens rather than looks is told so often, and after a switch as soon as it shows.
const SUMMARY_MS = 60_000;
const AFTER_SWITCH_MS = 8000;
const TABLE_ROWS = 60;

const by = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

const number = (value) => (Math.abs(value) < 10 && value % 1 !== 0 ? tenths : whole).format(value);
const rate = (value) => (value > 0 && value < 10 ? tenths : whole).format(value);
const per = (part, all) => (all > 0 ? number((100 * part) / all) : "–");
const asked = ({ completed, failed, unknown }) => completed + failed + unknown;
const percent = (ratio) => (ratio === null ? "–" : `${number(100 * ratio)} %`);

function time(milliseconds) {
  if (milliseconds === null) return "–";
  if (milliseconds < 1) return `${Number(milliseconds.toFixed(2))} ms`;
  if (milliseconds < 10) return `${Number(milliseconds.toFixed(1))} ms`;
  if (milliseconds < 1000) return `${whole.format(milliseconds)} ms`;
  return `${number(milliseconds / 1000)} s`;
}

function show(id, text) {
  if (by(id).textContent !== text) by(id).textContent = text;
}

function cell(kind, text, className = "") {
  const element = document.createElement(kind);
  element.textContent = text;
  element.className = className;
  if (kind === "th") element.scope = "row";
  return element;
}

function row(...cells) {
  const element = document.createElement("tr");
  element.append(...cells);
  return element;
}

const charts = {
  traffic: new Chart(by("traffic"), {
    lines: [
      { label: "requests", value: (point) => point.requests_per_second },
      { label: "queries", value: (point) => point.queries_per_second },
    ],
    format: number,
    // The odd query of an idle process is no mountain.
    least: 10,
    filled: true,
  }),
  hits: new Chart(by("hits"), {
    lines: [
      { label: "L1", value: (point) => point.hit_ratio[0] },
      { label: "L2", value: (point) => point.hit_ratio[1] },
    ],
    format: percent,
    fixed: { top: 1, steps: 2 },
  }),
  latency: new Chart(by("latency"), {
    lines: [
      { label: "median", value: (point) => point.p50_ms },
      { label: "99 %", value: (point) => point.p99_ms },
    ],
    format: time,
    logarithmic: true,
  }),
};

let points = [];
let newest = null;
// Which process tells all this.
let about = "";

function traffic({ now }) {
  show("requests-rate", rate(now.requests_per_second));
  show("queries-rate", rate(now.queries_per_second));
  const recent = points.slice(-10);
  const sum = (of) => recent.reduce((total, point) => total + of(point), 0);
  show("per-hundred", per(sum((point) => point.queries_per_second), sum((point) => point.requests_per_second)));
}

function table() {
  if (!by("numbers").open || points.length === 0) return;
  const end = points.at(-1).at_ms;
  const rows = points.slice(-TABLE_ROWS).reverse().map((point) =>
    row(
      cell("th", whole.format((end - point.at_ms) / 1000)),
      cell("td", rate(point.requests_per_second)),
      cell("td", rate(point.queries_per_second)),
      cell("td", percent(point.hit_ratio[0])),
      cell("td", percent(point.hit_ratio[1])),
      cell("td", time(point.p50_ms)),
      cell("td", time(point.p99_ms)),
    ));
  by("numbers-rows").replaceChildren(...rows);
}

function costs(periods) {
  const rows = periods.map((period) => {
    const { namespace, strategy, tiers, current, cost } = period;
    const name = cell("td", tiers === "none" ? strategy : `${strategy}, ${tiers}`, "text");
    if (current) {
      const badge = document.createElement("span");
      badge.className = "badge";
      badge.textContent = "now";
      name.append(badge);
    }
    const line = row(
      cell("th", namespace, "text"),
      name,
      cell("td", ago(period.lasted_ms)),
      cell("td", whole.format(cost.reads)),
      cell("td", whole.format(cost.read_queries)),
      cell("td", per(cost.read_queries, cost.reads)),
    );
    line.classList.toggle("current", current);
    return line;
  });
  by("costs-rows").replaceChildren(...rows);
  const { cost } = periods[0];
  show("writes", `Writes of all namespaces, since the first of these began: ${whole.format(cost.writes)}, with ${whole.format(cost.write_queries)} statements.`);
}

function processes(found) {
  if (found === null) {
    by("processes-rows").replaceChildren();
    show("processes-text", "What other processes do is not known yet, or Postgres does not answer.");
    show("process", about);
    return;
  }
  const { each, all } = found;
  const line = (name, of) => row(
    cell("th", name, "text"),
    ...(of === null ? Array(9).fill("–") : [
      rate(of.requests_per_second),
      rate(of.queries_per_second),
      per(of.queries_per_second, of.requests_per_second),
      percent(of.hit_ratio[0]),
      percent(of.hit_ratio[1]),
      time(of.p50_ms),
      time(of.p99_ms),
      whole.format(of.requests.all),
      whole.format(asked(of.queries)),
    ]).map((text) => cell("td", text)),
  );
  const rows = each.map(({ address, figures }, place) => line(place === 0 ? `${address}, this one` : address, figures));
  const silent = each.filter(({ figures }) => figures === null).length;
  if (each.length > 1) {
    const sum = line(silent > 0 ? `${each.length - silent} of ${each.length} together` : `All ${each.length} together`, all);
    sum.classList.add("total");
    rows.push(sum);
  }
  by("processes-rows").replaceChildren(...rows);
  show("processes-text", each.length > 1
    ? "What each says of itself once a second, so the others may be a second or two behind. Requests and queries are since each started."
    : "No other process of this environment is there.");
  show("process", each.length > 1 ? `${about}, one of ${each.length} processes` : about);
}

function staleness(found) {
  show("stale", found ? `${whole.format(found.stale)} of ${whole.format(found.sampled)}` : "–");
  show("stale-p99", found ? time(found.p99_ms) : "–");
  show("staleness-text", found
    ? "Answers out of a tier, compared with Postgres."
    : "Not sampled: verify.sample says how many answers are compared with Postgres.");
}

function journal(journals) {
  const sum = (of) => journals.reduce((total, one) => total + of(one), 0);
  show("depth", whole.format(sum((one) => one.depth)));
  show("oldest", time(Math.max(0, ...journals.map((one) => one.oldest_ms))));
  show("dead", whole.format(sum((one) => one.dead_letters)));
  show("journal-text", `Acknowledged writes that wait for the tables (${journals.map((one) => one.mode).join(", ") || "none"}).`);
}

function relay({ active, lag_ms, backlog, proven }) {
  show("lag", active ? time(lag_ms) : "–");
  show("backlog", active ? whole.format(backlog) : "–");
  const who = active ? "This process tells the others what Postgres committed." : "Another process relays, or none.";
  const heard = proven ? "It hears the backplane." : "It does not hear the backplane, and leaves L1 alone.";
  show("relay-text", `${who} ${heard}`);
}

function redis({ available, breakers_open, round_trips }) {
  const open = whole.format(breakers_open);
  show("breakers", breakers_open > 0 ? `${open} open` : available ? "closed" : "no connection");
  show("commands", whole.format(round_trips));
  show("redis-text", breakers_open > 0 || !available
    ? "Redis is not asked: requests are answered by L1 and Postgres."
    : "Every shard of Redis answers.");
}

function totals({ requests, queries, now }) {
  const failed = requests.failed > 0 ? ` (${whole.format(requests.failed)} failed)` : "";
  show("totals", `${ago(now.at_ms)}, ${whole.format(requests.all)} requests${failed}, ${whole.format(asked(queries))} database queries`);
}

function second(snapshot) {
  newest = snapshot;
  points = [...points, snapshot.now].slice(-REMEMBERED);
  draw();
}

function draw() {
  if (newest === null) return;
  const current = newest.costs.filter((period) => period.current);
  // The first period of a process began with it: nothing was switched.
  const marks = newest.costs
    .filter((period) => period.began_ms > 0 && period.began_ms >= points[0].at_ms)
    .map(({ began_ms, strategy, tiers }) => ({ at_ms: began_ms, text: tiers === "none" ? strategy : `${strategy}, ${tiers}` }))
    .sort((one, other) => one.at_ms - other.at_ms);
  charts.traffic.show(points, marks);
  charts.hits.show(points);
  charts.latency.show(points);
  traffic(newest);
  show("l1-ratio", percent(newest.now.hit_ratio[0]));
  show("l2-ratio", percent(newest.now.hit_ratio[1]));
  show("p50", time(newest.now.p50_ms));
  show("p90", time(newest.p90_ms));
  show("p99", time(newest.now.p99_ms));
  processes(newest.processes);
  costs(newest.costs);
  staleness(newest.staleness);
  journal(newest.journal);
  relay(newest.relay);
  redis(newest.redis);
  totals(newest);
  form.inForce(current);
  table();
}

function summarise() {
  if (newest === null || document.body.classList.contains("lost")) return;
  const { requests_per_second: requests, queries_per_second: queries } = newest.now;
  show("summary", `${rate(requests)} requests and ${rate(queries)} database queries per second.`);
}

const form = new Switch(() => setTimeout(summarise, AFTER_SWITCH_MS));

function state(name, text) {
  by("status").dataset.state = name;
  show("status", text);
  document.body.classList.toggle("lost", name === "lost");
}

let stream = null;
let watchdog = null;

// `EventSource` tries again by itself, but not after an answer such as 503, and it does not notice
// silence.
function listen() {
  stream?.close();
  stream = new EventSource("/dashboard/events");
  stream.addEventListener("hello", (event) => {
    const hello = JSON.parse(event.data);
    points = hello.points;
    about = `${hello.address}, version ${hello.version}`;
    show("process", about);
    form.offer(hello);
    heard();
  });
  stream.addEventListener("second", (event) => {
    const snapshot = JSON.parse(event.data);
    // The newest of the past comes with the past, too.
    points = points.filter((point) => point.at_ms < snapshot.now.at_ms);
    second(snapshot);
    heard();
  });
  stream.onerror = lost;
  expect(SILENCE_MS, lost);
}

function expect(milliseconds, next) {
  clearTimeout(watchdog);
  watchdog = setTimeout(next, milliseconds);
}

function heard() {
  state("live", "Live");
  expect(SILENCE_MS, lost);
}

function lost() {
  stream.close();
  state("lost", "Connection lost: the service does not answer. Trying again …");
  expect(RETRY_MS, listen);
}

by("numbers").addEventListener("toggle", table);
setInterval(summarise, SUMMARY_MS);
listen();
