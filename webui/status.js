// The status page: asks the API every 2 seconds and shows problems first. Values only ever become
// text nodes, never markup.
"use strict";

const $ = (id) => document.getElementById(id);
const tones = {
  delivered: "good", done: "good", succeeded: "good", receiving: "busy", working: "busy",
  requested: "busy", asked: "busy", started: "busy", attempted: "warn", held: "warn",
  failed: "bad", expired: "bad", rejected: "bad",
};
let open = null; // study whose detail is shown
let detail = null;

function el(tag, attrs, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs || {}))
    if (k === "class") e.className = v;
    else if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else e.setAttribute(k, v);
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

const pill = (word, tone) => el("span", { class: "pill " + (tone || tones[word] || "") }, word);

function ago(time) {
  if (!time) return "–";
  const s = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  if (s < 60) return Math.floor(s) + " s ago";
  if (s < 3600) return Math.floor(s / 60) + " min ago";
  if (s < 86400) return Math.floor(s / 3600) + " h ago";
  return new Date(time).toLocaleDateString();
}

function took(from, to) {
  if (!from || !to) return "";
  const s = (Date.parse(to) - Date.parse(from)) / 1000;
  return s < 10 ? s.toFixed(1) + " s" : s < 120 ? Math.round(s) + " s" : Math.round(s / 60) + " min";
}

async function api(path) {
  const token = sessionStorage.getItem("token");
  const answer = await fetch("/api/v1/" + path, {
    headers: token ? { Authorization: "Bearer " + token } : {},
    cache: "no-store",
  });
  if (answer.status === 401) {
    const given = window.prompt("This Talaria asks for its API token");
    if (given) sessionStorage.setItem("token", given);
  }
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail || answer.statusText);
  return body;
}

function stage(s) {
  if (s.stage === "processed" && !s.done && !s.open && !s.failed) return null;
  const tone = s.failed ? "bad" : s.open ? "busy" : s.done ? "good" : "";
  const text = s.stage + " " + s.done + (s.open ? " of " + (s.done + s.open) : "") +
    (s.failed ? ", " + s.failed + " failed" : "");
  const e = pill(text, tone);
  e.title = (s.from ? new Date(s.from).toLocaleString() + " " : "") + took(s.from, s.to);
  return e;
}

function deliveryLine(d) {
  const m = d.members;
  const counts = [["delivered", m.delivered], ["repeated", m.repeated], ["not accepted", m.notAccepted],
    ["failed", m.failed], ["open", m.open]].filter((x) => x[1] > 0).map((x) => x[1] + " " + x[0]);
  const li = el("li", {}, pill(d.state), " " + d.target + ": " + (counts.join(", ") || "nothing yet"),
    d.finishedAt ? " in " + took(d.askedAt, d.finishedAt) : "", d.reason ? " – " + d.reason : "");
  for (const r of d.reasons || [])
    if (r.reason) li.append(el("div", { class: "quiet" }, r.members + " × " + r.state + ": " + r.reason));
  return li;
}

function detailRow(s) {
  const cell = el("td", { colspan: "7" }, el("div", { class: "uid" }, s.study));
  for (const d of s.decisions)
    cell.append(el("div", {}, "Decided (" + d.reason + ") " + ago(d.decidedAt) + ": " +
      (Object.entries(d.fired || {}).map((x) => x.join(" → ")).join(", ") ||
        (d.discardedBy ? "discarded by " + d.discardedBy : "no rule fired")) +
      (d.revision ? ", configuration " + d.revision : "")));
  cell.append(el("ul", {}, ...s.deliveries.map(deliveryLine)));
  for (const x of s.series)
    cell.append(el("div", { class: "quiet" }, (x.modality || "?") + " " + (x.description || "") + ": " +
      x.instances + " images, " + (x.bytes / 1e6).toFixed(1) + " MB from " + (x.source || "?")));
  return el("tr", { class: "detail" }, cell);
}

function toggle(study) {
  open = open === study ? null : study;
  detail = null;
  refresh();
}

function studyRow(s) {
  return el("tr", { class: "study", tabindex: "0", onclick: () => toggle(s.study),
    onkeydown: (ev) => { if (ev.key === "Enter") toggle(s.study); } },
    el("td", {}, ago(s.lastAt)), el("td", {}, s.accessions.join(", ")),
    el("td", {}, s.patientId || ""),
    el("td", {}, [s.modalities.join("/"), s.description].filter(Boolean).join(" ") || s.study),
    el("td", { class: "num" }, String(s.instances)),
    el("td", {}, el("div", { class: "stages" }, ...s.stages.map(stage))),
    el("td", {}, pill(s.state)));
}

function targetRow(t) {
  return el("tr", {}, el("td", {}, t.target), el("td", { class: "num" }, String(t.open)),
    el("td", { class: "num" }, t.failed ? pill(String(t.failed), "bad") : "0"),
    el("td", { class: "num" }, String(t.delivered)), el("td", {}, ago(t.lastDelivered)),
    el("td", { class: "quiet" }, t.open || t.failed ? t.reason || "" : ""));
}

function tile(value, name, note) {
  return el("div", { class: "tile" }, el("b", {}, String(value)), name, el("br"),
    el("small", {}, note || " "));
}

function showStatus(s) {
  const bad = s.problems.length > 0;
  $("health").className = "pill " + (bad ? "bad" : "good");
  $("health").textContent = bad ? s.problems.length + (s.problems.length > 1 ? " problems" : " problem")
    : "all well";
  $("problems").hidden = !bad;
  $("problems").replaceChildren(...s.problems.map((p) =>
    el("p", {}, p.count + " × " + p.kind + (p.subject ? " (" + p.subject + ")" : "") + ", since " +
      ago(p.since))));
  const c = s.configuration;
  $("revision").textContent = "configuration " + c.revision + (c.by ? " by " + c.by : "") +
    (c.published ? "" : " (not yet published)");
  $("tiles").replaceChildren(
    tile(s.studies.lastDay, "studies", "newest " + ago(s.studies.newest)),
    tile(s.receipts.undecided, "images waiting", s.receipts.oldest ? "oldest " + ago(s.receipts.oldest) : ""),
    tile(s.tasks.open, "tasks open", s.tasks.oldest ? "oldest " + ago(s.tasks.oldest) : ""),
    tile(s.deliveries.open, "deliveries open", s.deliveries.oldest ? "oldest " + ago(s.deliveries.oldest) : ""));
  $("targets").replaceChildren(...s.targets.map(targetRow));
  $("clock").textContent = new Date(s.at).toLocaleTimeString();
}

function showStudies(page) {
  const rows = [];
  for (const s of page.items) {
    rows.push(studyRow(s));
    if (s.study === open && detail) rows.push(detailRow(detail));
  }
  $("studies").replaceChildren(...rows);
  $("none").hidden = rows.length > 0 || $("q").value !== "" || $("state").value !== "";
}

let running = false;
async function refresh() {
  if (running) return;
  running = true;
  try {
    const query = new URLSearchParams({ limit: "25", q: $("q").value.trim(), state: $("state").value });
    const [status, studies] = await Promise.all([api("status"), api("studies?" + query)]);
    if (open) detail = await api("studies/" + encodeURIComponent(open)).catch(() => null);
    showStatus(status);
    showStudies(studies);
  } catch (error) {
    $("health").className = "pill bad";
    $("health").textContent = error.message || "no connection";
  } finally {
    running = false;
  }
}

$("q").addEventListener("input", refresh);
$("state").addEventListener("change", refresh);
setInterval(() => { if (!document.hidden) refresh(); }, 2000);
refresh();
