// Asks for each frame when the one before is drawn, so that a slow phone sees fewer frames, never old ones.
import { screenAge, tellTime } from "./clock.js";
import { blank, draw, find } from "./draw.js";
import { aged, showHead, showState } from "./panel.js";
import { playing } from "./recordings.js";
import { judge } from "./status.js";
import { boxed, drawn, offer, wanted } from "./views.js";

const MAPS = ["visible", "infrared", "haze", "illumination"].map((view) => [view, find(view)]);
const IN_FLIGHT = 2;
const RETRY_MS = [500, 1000, 2000, 5000];

const decoder = new TextDecoder();
const link = { socket: null, ended: false, last: 0, period: 0, troubles: [], age: null, shownFor: 0 };
let failures = 0;
let shown = 0; // for tests and debugging: frames drawn since the page was opened

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/stream`);
  link.socket = socket;
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    failures = link.last = 0;
    link.ended = false;
    for (let i = 0; i < IN_FLIGHT; i++) ask();
  };
  socket.onmessage = (message) => {
    if (typeof message.data !== "string") return showFrame(message.data).catch(console.error).finally(ask);
    const state = JSON.parse(message.data);
    link.troubles = state.troubles;
    showState(state);
    find("age").textContent = link.age === null ? "-" : (link.age + link.shownFor).toFixed(0);
    offer(state);
  };
  socket.onclose = (event) => {
    link.ended ||= event.code === 1001 && event.reason === "ended"; // later attempts just fail
    judge(link);
    setTimeout(connect, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
  };
}

function ask() {
  if (link.socket.readyState !== WebSocket.OPEN) return;
  const views = document.hidden ? [] : places().map(([view]) => view);
  link.socket.send(JSON.stringify({ next: [...new Set(views)] }));
}

// Which picture goes where.
const places = () => [...(playing() ? [] : wanted()), ...(find("maps").open ? MAPS : [])];

async function showFrame(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(decoder.decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  const drawing = head.views.map(async ([view, size]) => {
    const jpeg = new Blob([new Uint8Array(buffer, at, size)], { type: "image/jpeg" });
    at += size;
    const image = size ? await createImageBitmap(jpeg) : null;
    for (const [name, canvas] of places()) {
      if (name !== view) continue;
      if (image) draw(canvas, image);
      else blank(canvas, view);
      drawn(canvas, view, image !== null);
      if (image && canvas.parentElement === find("pictures") && view !== "fused") boxed(canvas, head);
    }
    image?.close();
  });
  await Promise.all(drawing);
  requestAnimationFrame(() => {
    const { ms, how } = screenAge(head);
    link.age = link.age === null ? ms : 0.8 * link.age + 0.2 * ms;
    aged(ms, how);
  });
  const now = performance.now();
  link.period = link.last ? 0.9 * link.period + 0.1 * (now - link.last) : 0;
  link.last = now;
  shown += 1;
  document.body.dataset.frame = head.frame;
  document.body.dataset.shown = shown;
  tellTime(find("clock"), head);
  showHead(head);
}

setInterval(() => judge(link), 100);
connect();
