// What runs? Asks the server twice a second and tells whoever wants to know, also when there is no answer.

const EVERY_MS = 500;
const listeners = [];
let missed = 0; // answers in a row
let served; // by the program of this start

export function onStatus(listener) {
  listeners.push(listener);
  if (listeners.length === 1) ask();
}

async function ask() {
  let status;
  try {
    const answer = await fetch("/status.json", { signal: AbortSignal.timeout(3000) });
    if (answer.ok) status = await answer.json();
  } catch {
    // no server, or not in time
  }
  missed = status ? 0 : missed + 1;
  served ??= status?.served_since;
  if (status && status.served_since !== served && !document.fullscreenElement) {
    location.reload(); // the controls are those of a program that has ended
    return;
  }
  if (missed > 1) status = { phase: "unreachable" }; // one alone may be late on a busy machine
  if (status) for (const listener of listeners) listener(status);
  setTimeout(ask, EVERY_MS);
}

// Puts each text into the element that has its name, and "nothing" where there is none.
export function show(root, values, nothing = "") {
  for (const [name, text] of Object.entries(values)) {
    const target = root.querySelector(`[data-show="${name}"]`);
    const shown = text || nothing;
    if (target.textContent !== shown) target.textContent = shown;
  }
}
