// The run's figures beside the picture, and its switches.
import { element, find, rows } from "./draw.js";

const PLOTTED = 300;
const ages = [];
let nowSeen = {};

export function aged(ms, how) {
  ages.push(ms);
  if (ages.length > PLOTTED) ages.shift();
  find("age-how").textContent = how;
}

export function showHead(head) {
  const alone = head.led_by === "infrared";
  find("skew").textContent = head.skew_ms === null ? "missing" : alone ? "" : `${head.skew_ms.toFixed(1)} ms skew`;
  find("visible-missing").hidden = !alone;
  find("haze-mean").textContent = percent(alone ? null : head.haze);
  find("illumination-mean").textContent = percent(alone ? null : head.illumination);
  nowSeen = {};
  for (const { class: label } of head.detections) nowSeen[label] = (nowSeen[label] || 0) + 1;
}

const percent = (share) => (share === null ? "-" : `${(100 * share).toFixed(0)} %`);
const figure = (value) => (value === null ? "-" : Number.isInteger(value) ? value : (value.toFixed?.(2) ?? value));
const words = (counts) =>
  Object.entries(counts).sort().map(([label, count]) => `${count} ${label}${count > 1 ? "s" : ""}`).join(", ");
const spaced = (name) => name.replaceAll("_", " ");

export function showState(state) {
  find("engine").textContent = `engine ${state.engine}`;
  find("detector").textContent = state.detector ? `detector ${state.detector}` : "";
  find("fps").textContent = state.fps.toFixed(0);
  const over = words(state.objects);
  find("objects").hidden = state.detector === null;
  find("objects").replaceChildren(words(nowSeen) || "nothing found", element("small", over && `${over} over the run`));
  const { recording } = state;
  const room = recording?.free_gb == null ? "" : `, ${recording.free_gb.toFixed(1)} GB free`;
  find("recording").hidden = find("recordings").hidden = !recording;
  find("recording").className = recording?.on ? "on" : "off";
  find("recording").textContent = `${recording?.on ? "recording" : "not recording"}${room}`;
  const heat = state.temperature;
  const celsius = (value) => (value === null ? "-" : `${value.toFixed(1)} °C`);
  find("heat").hidden = !heat;
  if (heat) find("heat").textContent = `middle ${celsius(heat.spot)}, infrared ${celsius(heat.low)} to ${celsius(heat.high)}`;
  rows(find("stages"), Object.entries(state.stages).map(([name, pair]) => [name, ...pair.map((ms) => ms.toFixed(1))]));
  const { visible, infrared } = state.cameras;
  const counters = Object.keys(visible);
  rows(find("cameras"), counters.map((name) => [spaced(name), figure(visible[name]), figure(infrared[name])]));
  rows(find("run"), Object.entries(state.run).map(([name, count]) => [spaced(name), figure(count)]));
  const told = new Set(state.troubles.map(({ text }) => text));
  find("notes").replaceChildren(...state.warnings.filter((line) => !told.has(line)).map((line) => element("li", line)));
  find("history").replaceChildren(
    ...state.history.reverse().map(([at, camera, now]) =>
      element("li", `${new Date(1000 * at).toLocaleTimeString("sv-SE")} ${camera} ${now}`),
    ),
  );
  showSwitches(state.switches);
  find("prompt-form").hidden = state.prompt === null;
  const prompt = find("prompt");
  if (document.activeElement !== prompt && prompt.dataset.said !== state.prompt) {
    prompt.value = prompt.dataset.said = state.prompt; // somebody else may have changed it
  }
  if (find("timing").open) plot();
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

find("prompt-form").addEventListener("submit", say);
