// Places picked in both pictures, in pixels whose centres are integers.
import { draw, element, find } from "./draw.js";

const SIDES = ["visible", "infrared"];
const NEAR = 11; // pixels to each side of the pointer that the lens shows
const pictures = {};
let points = []; // {pair, visible: [x, y], infrared: [x, y]}
let half = {}; // the place that waits for its partner: {visible: [x, y]} or {infrared: [x, y]}
let pair = 0;
let pairs = 1;
let saved = false;

function say(level, word, line) {
  find("status").className = level;
  find("status").textContent = word;
  find("fit").textContent = line;
}

async function ask(path, content) {
  const body = JSON.stringify(content);
  const answer = await fetch(path, content && { method: "POST", headers: { "Content-Type": "application/json" }, body });
  if (!answer.ok) throw new Error(await answer.text());
  return answer;
}

// Show errors, above all a lost server.
const told = (action) => async (...given) => {
  try {
    await action(...given);
  } catch (error) {
    if (!saved) say("bad", "trouble", error instanceof TypeError ? "fusecam no longer answers" : error.message);
  }
};

const show = told(async (number) => {
  pair = number;
  half = {};
  for (const side of SIDES) {
    pictures[side] = await createImageBitmap(await (await ask(`/pairs/${number}/${side}`)).blob());
  }
  find("before").disabled = pair === 0;
  find("after").disabled = pair + 1 === pairs;
  paint();
});

function paint() {
  for (const side of SIDES) {
    const canvas = find(side);
    draw(canvas, pictures[side]);
    const context = canvas.getContext("2d");
    const size = canvas.width / 90;
    context.lineWidth = size / 5;
    context.font = `${2 * size}px system-ui, sans-serif`;
    const marks = points.map((point, index) => [point.pair, point[side], index + 1]);
    if (half[side]) marks.push([pair, half[side], "?"]);
    for (const [of, [x, y], name] of marks) {
      if (of !== pair) continue;
      context.strokeStyle = context.fillStyle = name === "?" ? "#f0e442" : "#00e5ff";
      context.beginPath();
      context.moveTo(x + 0.5 - size, y + 0.5);
      context.lineTo(x + 0.5 + size, y + 0.5);
      context.moveTo(x + 0.5, y + 0.5 - size);
      context.lineTo(x + 0.5, y + 0.5 + size);
      context.stroke();
      context.fillText(name, x + size / 2, y - size / 2);
    }
  }
}

const fit = told(async () => {
  const rows = points.map((point) => [point.pair, ...point.visible, ...point.infrared]);
  const found = await (await ask("/points", { points: rows })).json();
  const { residuals = [], trouble } = found;
  find("save").disabled = trouble !== undefined;
  const rms = Math.hypot(...residuals) / Math.sqrt(residuals.length || 1);
  const line = `${rms.toFixed(1)} infrared pixels RMS; 1 pixel of error in each moves a corner by ${found.corner_px?.toFixed(1)}`;
  const few = residuals.length === 4 ? "4 points fit any homography: pick more" : line;
  say(trouble || points.length < 8 ? "warn" : "good", `${points.length} points`, trouble ?? few);
  find("points").tBodies[0].replaceChildren(
    ...points.map((point, index) => {
      const remove = element("button", "remove");
      remove.addEventListener("click", () => change(() => points.splice(index, 1)));
      const row = document.createElement("tr");
      row.append(...[index + 1, point.pair + 1, residuals[index]?.toFixed(1) ?? "-"].map((cell) => element("td", cell)));
      row.append(document.createElement("td"));
      row.lastChild.append(remove);
      return row;
    }),
  );
});

function change(action) {
  action();
  paint();
  fit();
}

const at = (event) => {
  const box = event.target.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * event.target.width - 0.5, ((event.clientY - box.top) / box.height) * event.target.height - 0.5];
};

function pick(event) {
  half[event.target.id] = at(event);
  if (SIDES.every((side) => half[side])) change(() => points.push({ pair, ...half }) && (half = {}));
  else paint();
}

// The pixels around the pointer, large, on the side where the pointer is not.
function near(event) {
  if (!pictures[event.target.id]) return;
  const [x, y] = at(event);
  const lens = find(`near-${event.target.id}`);
  const context = lens.getContext("2d");
  const scale = lens.width / (2 * NEAR);
  context.imageSmoothingEnabled = false;
  context.fillRect(0, 0, lens.width, lens.height);
  context.drawImage(event.target, x + 0.5 - NEAR, y + 0.5 - NEAR, 2 * NEAR, 2 * NEAR, 0, 0, lens.width, lens.height);
  context.strokeStyle = "#f0e442";
  context.strokeRect((NEAR - 0.5) * scale, (NEAR - 0.5) * scale, scale, scale);
  lens.hidden = false;
  const left = x > event.target.width / 2;
  lens.style.left = left ? 0 : "auto";
  lens.style.right = left ? "auto" : 0;
}

const save = told(async () => {
  await ask("/save", {});
  saved = true;
  say("good", "saved", "fusecam wrote the rig file and has ended; this page can be closed");
  for (const button of document.querySelectorAll("button")) button.disabled = true;
  for (const side of SIDES) find(side).removeEventListener("click", pick);
});

const begin = told(async () => {
  const start = await (await ask("/start")).json();
  pairs = start.pairs;
  points = start.points.map(([of, ...place]) => ({ pair: of, visible: place.slice(0, 2), infrared: place.slice(2) }));
  await show(0);
  await fit();
});

for (const side of SIDES) {
  find(side).addEventListener("click", pick);
  find(side).addEventListener("pointermove", near);
  find(side).addEventListener("pointerleave", () => (find(`near-${side}`).hidden = true));
}
find("undo").addEventListener("click", () => (Object.keys(half).length ? ((half = {}), paint()) : change(() => points.pop())));
find("before").addEventListener("click", () => show(pair - 1));
find("after").addEventListener("click", () => show(pair + 1));
find("save").addEventListener("click", save);
begin();
