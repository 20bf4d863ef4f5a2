// Past events and recordings, played in the place of the live picture; the light goes on telling of the run.
import { element, find } from "./draw.js";

const STEM = /(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.\d+Z/;
let videos = [];

export const playing = () => !find("playback").hidden;

const whole = (name) => !STEM.test(name); // the one file of --record drive.mcap
const kind = (name) => (name.startsWith("events/") ? "events" : whole(name) ? "fused" : name.replace(/.*_|\.mp4/g, ""));

function begun(name) {
  if (whole(name)) return name;
  const [, year, month, day, hour, minute, second] = STEM.exec(name);
  return new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`).toLocaleString("sv-SE");
}

async function look() {
  if (!find("recordings").open) return;
  try {
    videos = await (await fetch("/recordings")).json();
  } catch {
    return; // the light says that nothing comes any more
  }
  const kinds = [...new Set(videos.map(([name]) => kind(name)))].sort();
  const chosen = find("kind").value || (kinds.includes("events") ? "events" : "fused");
  find("kind").replaceChildren(...kinds.map((name) => new Option(name, name, false, name === chosen)));
  list();
}

function list() {
  const wanted = videos.filter(([name]) => kind(name) === find("kind").value);
  find("videos").replaceChildren(
    ...wanted.map(([name, bytes]) => {
      const button = element("button", `${begun(name)}, ${(bytes / 1e6).toFixed(1)} MB`);
      button.addEventListener("click", () => play(name));
      const item = element("li", "");
      item.append(button);
      return item;
    }),
  );
  find("no-videos").hidden = wanted.length > 0;
  find("whole").hidden = !wanted.some(([name]) => whole(name));
  find("whole").firstChild.href = `/recordings/${encodeURIComponent(wanted[0]?.[0])}`;
}

function play(name) {
  stop();
  find("playback").hidden = false;
  find("played").textContent = `${kind(name)} of ${begun(name)}`;
  find("from-where").hidden = find("replay").hidden = !whole(name);
  find("video").hidden = whole(name);
  if (whole(name)) return replay();
  find("video").src = `/recordings/${name}`;
  find("video").play().catch(() => {}); // "error" tells of it
}

function replay() {
  find("replay").src = `/replay?from=${60 * Number(find("from").value.replace(",", ".")) || 0}&at=${Date.now()}`;
}

function stop() {
  find("playback").hidden = true;
  find("replay").removeAttribute("src");
  find("video").removeAttribute("src");
  find("video").load();
}

find("video").addEventListener("error", () => {
  if (playing()) find("played").textContent = "this recording is gone, or this browser cannot play it";
});
find("from").addEventListener("change", replay);
find("recordings").addEventListener("toggle", look);
find("kind").addEventListener("change", list);
find("again").addEventListener("click", look);
for (const id of ["live", "modes"]) find(id).addEventListener("click", stop);
