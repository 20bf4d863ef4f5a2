"use strict";
// Asks for each frame when the one before is drawn, so that a slow phone sees fewer frames, never old ones.

const VIEWS = ["fused", "visible", "infrared", "haze", "illumination"];
const PLOTTED = 300;
const IN_FLIGHT = 2;
const RETRY_MS = [500, 1000, 2000, 5000];
const STALE_MS = 500; // and no less than two of the stream's own periods

const find = (id) => document.getElementById(id);
const ages = [];
const decoder = new TextDecoder();
let socket = null;
let failures = 0;
let ended = false;
let lastFrame = 0;
let period = 0;
let shown = 0; // for tests and the curious: frames drawn since the page was opened

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/stream`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    failures = 0;
    ended = false;
    lastFrame = performance.now();
    tellLink("live", true);
    for (let i = 0; i < IN_FLIGHT; i++) ask();
  };
  socket.onmessage = (message) => {
    if (typeof message.data === "string") showState(JSON.parse(message.data));
    else showFrame(message.data).catch(console.error).finally(ask);
  };
  socket.onclose = (event) => {
    ended ||= event.code === 1001 && event.reason === "ended"; // later attempts just fail
    tellLink(ended ? "run ended" : "disconnected", false);
    setTimeout(connect, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
  };
}

function ask() {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ next: document.hidden ? [] : VIEWS }));
}

function tellLink(text, good) {
  const link = find("link");
  link.textContent = text;
  link.className = `badge ${good ? "good" : "bad"}`;
}

async function showFrame(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(decoder.decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  const drawing = head.views.map(([view, size]) => {
    const jpeg = new Blob([new Uint8Array(buffer, at, size)], { type: "image/jpeg" });
    at += size;
    return size ? createImageBitmap(jpeg).then((image) => draw(find(view), image)) : blank(find(view));
  });
  await Promise.all(drawing);
  const now = performance.now();
  period = lastFrame ? 0.9 * period + 0.1 * (now - lastFrame) : 0;
  lastFrame = now;
  shown += 1;
  ages.push(head.age_ms);
  if (ages.length > PLOTTED) ages.shift();
  find("age").textContent = head.age_ms.toFixed(0);
  const alone = head.led_by === "infrared";
  find("skew").textContent = head.skew_ms === null ? "missing" : alone ? "" : `${head.skew_ms.toFixed(1)} ms skew`;
  find("visible-missing").hidden = !alone;
  find("haze-mean").textContent = percent(alone ? null : head.haze);
  find("illumination-mean").textContent = percent(alone ? null : head.illumination);
  document.body.dataset.frame = head.frame;
  document.body.dataset.shown = shown;
  nowSeen = count(head.detections.map((found) => found.class));
  freshness();
}

function draw(canvas, image) {
  if (canvas.width !== image.width || canvas.height !== image.height) {
    canvas.width = image.width;
    canvas.height = image.height;
  }
  canvas.getContext("2d").drawImage(image, 0, 0);
  image.close();
}

function blank(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}

const percent = (share) => (share === null ? "-" : `${(100 * share).toFixed(0)} %`);
let nowSeen = {};

function count(labels) {
  const counts = {};
  for (const label of labels) counts[label] = (counts[label] || 0) + 1;
  return counts;
}

function showState(state) {
  find("engine").textContent = state.engine;
  find("detector").textContent = state.detector ?? "";
  find("fps").textContent = state.fps.toFixed(0);
  const labels = Object.keys(state.detections).sort();
  find("detections").textContent =
    labels.map((label) => `${label} ${nowSeen[label] || 0} / ${state.detections[label]}`).join(", ") || "none";
  rows(find("stages"), Object.entries(state.stages).map(([name, pair]) => [name, ...pair.map((ms) => ms.toFixed(1))]));
  const { visible, infrared } = state.cameras;
  rows(
    find("cameras"),
    Object.keys(visible).map((name) => [name.replaceAll("_", " "), figure(visible[name]), figure(infrared[name])]),
  );
  find("warnings").replaceChildren(...state.warnings.map((line) => element("li", line)));
  showSwitches(state.switches);
  find("prompt-form").hidden = state.prompt === null;
  const prompt = find("prompt");
  if (document.activeElement !== prompt && prompt.dataset.said !== state.prompt) {
    prompt.value = prompt.dataset.said = state.prompt; // somebody else may have changed it
  }
  plot();
}

const figure = (value) => (value === null ? "-" : Number.isInteger(value) ? value : (value.toFixed?.(2) ?? value));

function rows(table, content) {
  table.tBodies[0].replaceChildren(
    ...content.map((cells) => {
      const row = document.createElement("tr");
      row.append(...cells.map((cell) => element("td", cell)));
      return row;
    }),
  );
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function showSwitches(switches) {
  const box = find("switches");
  box.hidden = Object.keys(switches).length === 0;
  for (const [name, on] of Object.entries(switches)) {
    let input = find(`switch-${name}`);
    if (!input) {
      const label = document.createElement("label");
      input = document.createElement("input");
      input.type = "checkbox";
      input.id = `switch-${name}`;
      input.addEventListener("change", () => change(name, input));
      label.append(input, name);
      box.append(label);
    }
    if (!input.disabled) input.checked = on;
  }
}

async function change(name, input) {
  input.disabled = true; // until the run has answered, its figures may still say the old thing
  try {
    const answer = await post("/switch", { name, on: input.checked });
    if (!answer.ok) input.checked = !input.checked;
  } catch {
    input.checked = !input.checked;
  }
  input.disabled = false;
}

function post(path, wanted) {
  const headers = { "Content-Type": "application/json" };
  return fetch(path, { method: "POST", headers, body: JSON.stringify(wanted) });
}

async function say(event) {
  event.preventDefault();
  const answer = find("prompt-answer");
  answer.textContent = "";
  try {
    const told = await post("/prompt", { text: find("prompt").value });
    if (!told.ok) answer.textContent = await told.text();
  } catch {
    answer.textContent = "not sent: disconnected";
  }
}

function plot() {
  const canvas = find("plot");
  canvas.width = canvas.clientWidth * devicePixelRatio;
  canvas.height = 120 * devicePixelRatio;
  if (!ages.length) return;
  const context = canvas.getContext("2d");
  const ordered = [...ages].sort((a, b) => a - b);
  const top = Math.max(10, ordered[Math.floor(0.99 * (ordered.length - 1))] * 1.25);
  const x = (index) => (index / (PLOTTED - 1)) * canvas.width;
  const y = (ms) => canvas.height * (1 - Math.min(ms / top, 1));
  context.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  context.fillStyle = "#9aa2a9";
  context.strokeStyle = "#2c3136";
  for (const share of [0.25, 0.5, 0.75]) {
    context.beginPath();
    context.moveTo(0, y(top * share));
    context.lineTo(canvas.width, y(top * share));
    context.stroke();
    context.fillText((top * share).toFixed(0), 3, y(top * share) - 3);
  }
  context.strokeStyle = "#56b4e9";
  context.lineWidth = 1.5 * devicePixelRatio;
  context.beginPath();
  ages.forEach((ms, index) => (index ? context.lineTo(x(index), y(ms)) : context.moveTo(x(index), y(ms))));
  context.stroke();
}

function freshness() {
  const silent = performance.now() - lastFrame;
  const connected = socket !== null && socket.readyState === WebSocket.OPEN;
  const old = !connected || (!document.hidden && silent > Math.max(STALE_MS, 2 * period));
  document.body.classList.toggle("old", old);
  const stale = find("stale");
  stale.hidden = !old;
  stale.textContent = ended ? "run ended" : `no new frame for ${(silent / 1000).toFixed(1)} s`;
}

find("prompt-form").addEventListener("submit", say);
setInterval(freshness, 100);
connect();
