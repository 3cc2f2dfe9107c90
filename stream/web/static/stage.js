// The large picture, the line above it that says what holds, and the veil over it when it is not live.

import { fillBars, nameBars, nameHeatMap } from "/viewer/bars.js";
import { drawArea, isDrawing, surroundings } from "/viewer/area.js";
import { showFlagged } from "/viewer/flagged.js";
import { offerFullScreen } from "/viewer/full.js";
import { Picture } from "/viewer/picture.js";
import { onStatus, show } from "/viewer/status.js";
import { drawTimeline } from "/viewer/timeline.js";

const STALE_AFTER_MS = 1000; // longer than any dropped frame, short for the eye; a slow source has its own

export function showStage(root) {
  const state = root.querySelector(".rcd-state");
  const timeline = root.querySelector("#rcd-timeline");
  const frame = root.querySelector(".rcd-picture");
  const bars = root.querySelector(".rcd-bars"), heat = root.querySelector(".rcd-heat");
  let status = { phase: "starting" };
  let verdict = { smoothed: [], surely: [] }; // on the frame that is shown
  const picture = new Picture(root.querySelector("#rcd-canvas"), {
    onVerdict: (latest) => {
      verdict = latest;
      show(root, { headline: verdict.headline, reason: verdict.reason });
      state.style.color = verdict.headline_colour;
      fillBars(bars, verdict);
      nameHeatMap(heat, verdict);
    },
    hasPanel: () => bars.offsetParent === null, // live.css shows the one or the other
    isWhole: () => isDrawing(frame),
    paintOver: surroundings(),
  });
  drawArea(frame, picture);
  window.addEventListener("resize", () => picture.draw());
  offerFullScreen(root.querySelector(".rcd-full"));
  onStatus((latest) => {
    status = latest;
    showStrip(root, status);
    nameBars(bars, status);
    fillBars(bars, verdict); // which may have come before the names
    drawTimeline(timeline, status);
    showFlagged(root.querySelector(".rcd-flagged"), status.flagged);
    refreshControls(status);
    refreshRecord(status);
  });
  setInterval(() => showVeil(root, veil(status, picture.paintedAt)), 200);
}

function showStrip(root, status) {
  const kind = status.still ? "pictures" : status.looped ? "looped clip" : "live";
  const running = status.phase === "running", failed = status.recording === "failed";
  show(root, {
    phase: running ? kind : status.phase,
    recording: failed ? `RECORDING FAILED: ${status.recording_error}` : "RECORDING",
    source: status.source,
  });
  if (!running) show(root, { headline: "", reason: "" });
  root.querySelector(".rcd-phase").dataset.phase = status.phase;
  root.querySelector(".rcd-synthetic").hidden = !status.synthetic;
  root.querySelector(".rcd-recording").hidden = !failed && !(running && status.recording === "on");
  const legend = root.querySelector(".rcd-legend");
  if (status.classes && legend.childElementCount !== status.classes.length) {
    legend.replaceChildren(...status.classes.map((label, row) => {
      const entry = document.createElement("span");
      entry.textContent = label;
      entry.style.setProperty("--colour", status.class_colours[row]);
      return entry;
    }));
  }
}

const UNDER_WAY = ["starting", "stopping", "unreachable"];
let ran; // source, engine and operating point by the last answer but these; "" if nothing ran

// The controls show what runs, and their first button whether anything does, also if that changed on another page.
function refreshControls({ phase, source, engine, operating_point }) {
  const now = phase === "running" ? [source, engine.name, operating_point].join() : "";
  if (UNDER_WAY.includes(phase)) {
    ran ??= ""; // the page was opened before anything ran
    return;
  }
  if (ran !== undefined && ran !== now) document.querySelector(now ? "#refresh" : "#rename")?.click();
  ran = now;
}

const RECORD_ANSWERS = 4; // two seconds: a tick just made is not undone before the server knows of it
let differed = 0; // in so many answers, one after the other, Record was not as it is shown

function refreshRecord({ records = null }) {
  const box = document.querySelector("#record input");
  differed = box && records !== null && box.checked !== records ? differed + 1 : 0;
  if (differed < RECORD_ANSWERS) return;
  document.querySelector("#refresh-record").click();
  differed = 0;
}

// What covers the picture: [headline, reason], or null while it is live. Screen readers say the headline whenever it
// changes, so what counts on is the reason.
function veil(status, paintedAt) {
  switch (status.phase) {
    case "unreachable": return ["No connection", "RcdNet Live does not answer. Is it still running?"];
    case "starting": return ["Starting", status.trouble ?? "opening the source and the engine"];
    case "stopped": return ["Stopped", "press Start"];
    case "ended": return ["The source has ended", ""];
    case "stopping": return ["Stopping", status.recording === "on" ? "finishing what was recorded" : ""];
    case "failed": return ["Failed", status.error];
  }
  const silent_ms = paintedAt === null ? Infinity : performance.now() - paintedAt;
  if (silent_ms < Math.max(STALE_AFTER_MS, 1000 * status.stall_after_s)) return null;
  if (paintedAt === null) return ["No picture yet", ""];
  const { state, reason } = status.verdict ?? {};
  if (state === "no_signal") return ["No new picture", reason]; // which tells for how long, also before the page was open
  const silence = `for ${Math.floor(silent_ms / 1000)} s`;
  return ["No new picture", state === "not_analysed" ? `${silence}; ${reason}` : silence];
}

function showVeil(root, words) {
  root.querySelector(".rcd-picture").classList.toggle("rcd-dimmed", words !== null);
  root.querySelector(".rcd-veil").hidden = words === null;
  if (words !== null) show(root, { veil: words[0], "veil-reason": words[1] });
}
