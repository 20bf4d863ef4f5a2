// Which pictures are shown, and how two are compared.
import { element, find } from "./draw.js";

const MODES = ["fused", "visible", "infrared", "side by side", "swipe", "blend"];
const PICTURES = ["fused", "visible", "infrared"];
const COLOURS = { person: "#e69f00", car: "#56b4e9", bicycle: "#00be8c" };
let mode = "fused";
let overlay = true;

const compares = () => !PICTURES.includes(mode);
const shownNow = () => (compares() ? [find("first-of").value, find("second-of").value] : [mode]);
const NAMES = { fused: () => "fused", visible: () => "visible-large", infrared: () => `infrared-large:${find("palette").value}` };

// Names of the pictures that are to be sent, each with its canvas.
export function wanted() {
  return shownNow().map((picture, place) => [NAMES[picture](), find(["first", "second"][place])]);
}

// The second picture lies over the first: until it has the one that is wanted, it would be a black half, or an old one.
function awaited() {
  const second = find("second");
  const [view] = wanted()[1] ?? [];
  if (view === undefined || second.dataset.view !== view.split(":")[0]) delete second.dataset.view;
  second.hidden = !second.dataset.view;
}

// Marks a canvas as having its picture, or having none.
export function drawn(canvas, view, there) {
  canvas.dataset.view = view.split(":")[0];
  canvas.dataset.missing = there ? "" : "missing";
  if (canvas === find("second")) canvas.hidden = false;
}

// What this run has to choose from.
export function offer(state) {
  overlay = state.switches.overlay ?? true;
  const palettes = find("palette");
  if (palettes.options.length) return;
  palettes.append(...state.palettes.map((name) => new Option(name, name)));
  palettes.value = state.palette;
}

// The boxes that the fused picture has in it, on another.
export function boxed(canvas, head) {
  if (!overlay) return;
  const context = canvas.getContext("2d");
  const scale = canvas.width / head.width;
  const size = Math.max(12, Math.round(canvas.height / 30));
  context.font = `${size}px system-ui, sans-serif`;
  context.lineWidth = Math.max(2, size / 8);
  for (const { class: label, box, track } of head.detections) {
    const [x1, y1, x2, y2] = box.map((value) => value * scale);
    context.fillStyle = context.strokeStyle = COLOURS[label] ?? "#f0e442";
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.fillText(track == null ? label : `${label} #${track}`, x1, Math.max(size, y1 - 4));
  }
}

function choose(name) {
  mode = name;
  document.body.classList.remove("side-by-side", "swipe", "blend");
  if (compares()) document.body.classList.add(mode.replaceAll(" ", "-"));
  for (const button of find("modes").children) button.ariaPressed = String(button.textContent === mode);
  for (const each of document.querySelectorAll(".compared")) each.hidden = !compares();
  find("slider").hidden = mode !== "swipe" && mode !== "blend";
  awaited();
  find("palette").parentElement.hidden = !shownNow().includes("infrared");
  slide();
}

function slide() {
  const share = Number(find("slider").value);
  const { style } = find("second");
  style.clipPath = mode === "swipe" ? `inset(0 0 0 ${share}%)` : "none";
  style.opacity = mode === "blend" ? 1 - share / 100 : "";
}

function follow(event) {
  if (mode !== "swipe" || !(event.buttons & 1)) return;
  const box = find("pictures").getBoundingClientRect();
  find("slider").value = (100 * (event.clientX - box.left)) / box.width;
  slide();
}

// What is on the screen, as a file; a swiped picture as it is swiped.
function snapshot() {
  const [first, second] = ["first", "second"].map(find);
  const beside = mode === "side by side";
  const canvas = document.createElement("canvas");
  canvas.width = first.width + (beside ? second.width : 0);
  canvas.height = first.height;
  const context = canvas.getContext("2d");
  context.drawImage(first, 0, 0);
  const share = Number(find("slider").value) / 100;
  if (mode === "blend") context.globalAlpha = 1 - share;
  if (beside) context.drawImage(second, first.width, 0, second.width, canvas.height);
  else if (mode === "blend") context.drawImage(second, 0, 0, canvas.width, canvas.height);
  else if (mode === "swipe") {
    const from = share * second.width;
    const to = share * canvas.width;
    context.drawImage(second, from, 0, second.width - from, second.height, to, 0, canvas.width - to, canvas.height);
  }
  const link = element("a", "");
  link.download = `fusecam ${find("clock").textContent.replaceAll(":", "-")}.jpg`;
  canvas.toBlob((blob) => {
    link.href = URL.createObjectURL(blob);
    link.click();
    URL.revokeObjectURL(link.href);
  }, "image/jpeg", 0.92);
}

function fill() {
  if (document.fullscreenElement) document.exitFullscreen();
  else find("stage").requestFullscreen();
}

find("snapshot").addEventListener("click", snapshot);
find("full").addEventListener("click", fill);
find("full").hidden = !document.fullscreenEnabled;
find("modes").append(...MODES.map((name) => element("button", name)));
find("modes").addEventListener("click", ({ target }) => MODES.includes(target.textContent) && choose(target.textContent));
for (const [id, first] of [["first-of", "visible"], ["second-of", "infrared"]]) {
  find(id).append(...PICTURES.map((name) => new Option(name, name, false, name === first)));
  find(id).addEventListener("change", () => choose(mode));
}
find("slider").addEventListener("input", slide);
for (const kind of ["pointerdown", "pointermove"]) find("pictures").addEventListener(kind, follow);
choose("fused");
