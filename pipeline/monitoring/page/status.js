// The status light, from the run's state and from the frames that arrive here.
import { element, find } from "./draw.js";

const STALE_MS = 500; // and no less than two of the stream's own periods
const SILENT_MS = 3000; // without messages for so long the connection counts as lost
const OLD_MS = 1000;
const WORDS = { good: "all well", warn: "attention", bad: "trouble", ended: "ended" };

export function judge(link) {
  const connected = link.socket !== null && link.socket.readyState === WebSocket.OPEN;
  const silent = performance.now() - link.last;
  const stale = link.last > 0 && !document.hidden && silent > Math.max(STALE_MS, 2 * link.period);
  link.shownFor = stale ? silent : 0;
  const troubles = link.ended ? [] : [...link.troubles];
  const say = (level, text) => troubles.unshift({ level, text });
  if (!link.ended) {
    if (link.age > OLD_MS) troubles.push({ level: "warn", text: `the picture is ${(link.age / 1000).toFixed(1)} s old` });
    if (!connected) say("bad", "disconnected from fusecam");
    else if (link.last === 0) say("warn", "no frame yet");
    else if (stale && silent > SILENT_MS / 3) say("bad", `no new frame for ${(silent / 1000).toFixed(0)} s`);
  }
  troubles.sort((a, b) => (a.level === "bad" ? 0 : 1) - (b.level === "bad" ? 0 : 1));
  const level = link.ended ? "ended" : (troubles[0]?.level ?? "good");
  const status = find("status");
  if (status.textContent !== WORDS[level]) {
    status.className = level;
    status.textContent = WORDS[level];
    document.title = `${WORDS[level]} - fusecam`;
  }
  list(troubles);
  document.body.classList.toggle("old", !connected || stale);
  document.body.classList.toggle("cut", !connected); // what was last said of the run is of the past
  find("stale").className = link.ended ? "ended" : "bad";
  find("stale").hidden = connected && !stale;
  const waits = link.last ? `no new frame for ${(silent / 1000).toFixed(1)} s` : "no frame yet";
  find("stale").textContent = link.ended ? "run ended" : connected ? waits : "disconnected";
}

function list(troubles) {
  const button = find("gravest");
  const [first, ...others] = troubles;
  button.hidden = !first;
  find("troubles").hidden = !others.length || button.ariaExpanded !== "true";
  if (!first) return;
  button.className = first.level;
  button.textContent = others.length ? `${first.text} (and ${others.length} more)` : first.text;
  find("troubles").replaceChildren(...others.map(({ level, text }) => element("li", text, level)));
}

find("gravest").addEventListener("click", ({ target }) => {
  target.ariaExpanded = target.ariaExpanded !== "true";
});
