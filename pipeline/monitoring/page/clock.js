// The server's clock as seen from here, so that a frame's age counts the way to this screen, too.
const KEPT = 8;
const EVERY_MS = 5000;
const samples = []; // [round trip, server's clock minus ours] in ms; that of the shortest round trip is the best

async function sample() {
  try {
    const asked = performance.now();
    const { ms } = await (await fetch("/clock")).json();
    const back = performance.now();
    samples.push([back - asked, ms - (asked + back) / 2]);
    if (samples.length > KEPT) samples.shift();
  } catch {
    samples.length = 0; // another run may answer next, on another machine
  }
  setTimeout(sample, samples.length < KEPT ? 500 : EVERY_MS);
}

// From capture, or its arrival where the camera tells none, to now.
export function screenAge(head) {
  if (!samples.length) return { ms: head.sent_ms - head.captured_ms, how: "way to this screen not counted" };
  const [trip, offset] = samples.reduce((best, each) => (each[0] < best[0] ? each : best));
  return { ms: performance.now() + offset - head.captured_ms, how: `within ${Math.ceil(trip / 2)} ms` };
}

export function tellTime(place, head) {
  place.textContent =
    head.utc_ms === null ? `${head.time.toFixed(1)} s` : new Date(head.utc_ms).toLocaleString("sv-SE"); // as ISO writes it
}

sample();
