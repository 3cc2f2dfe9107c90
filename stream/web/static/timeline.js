// Smoothed probability of each class over time, with a band below for the states that say nothing.

// Colours are those of live.css.
const BAND = { indeterminate: "--amber", not_analysed: "--dark-amber", frozen: "--dark-amber", no_signal: "--dark-amber", warming_up: "--slate" };
const LEFT = 46, RIGHT = 12, TOP = 8, BOTTOM = 30, BAND_HEIGHT = 5;
const STEPS_S = [10, 20, 30, 60, 120, 300, 600], LABEL_PX = 60; // room for a label of the axis

export function drawTimeline(canvas, { timeline, timeline_s, class_colours, still }) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width) return;
  canvas.width = width * scale; // which clears it
  canvas.height = height * scale;
  if (!timeline) return;
  const context = canvas.getContext("2d");
  const palette = getComputedStyle(canvas);
  context.scale(scale, scale);
  const last = timeline.at(-1)?.t_s ?? 0;
  const x = (t_s) => width - RIGHT - ((last - t_s) / timeline_s) * (width - LEFT - RIGHT);
  const y = (p) => TOP + (1 - p) * (height - TOP - BOTTOM);
  drawGrid(context, palette, x, y, last, timeline_s, width, height);
  drawBand(context, palette, x, timeline, height - BOTTOM + 4);
  class_colours.forEach((colour, row) => drawLine(context, x, y, timeline, row, colour, still));
}

function drawGrid(context, palette, x, y, last, span_s, width, height) {
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = palette.getPropertyValue("--grey");
  context.strokeStyle = palette.getPropertyValue("--line");
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const p of [0, 0.5, 1]) {
    context.fillText(`${p * 100}%`, LEFT - 8, y(p));
    line(context, [[LEFT, y(p)], [width - RIGHT, y(p)]]);
  }
  context.textBaseline = "alphabetic";
  const step_s = STEPS_S.find((each) => (each / span_s) * (width - LEFT - RIGHT) >= LABEL_PX) ?? span_s;
  for (let back_s = 0; back_s <= span_s; back_s += step_s) {
    context.textAlign = back_s === 0 ? "right" : "center";
    context.fillText(back_s === 0 ? "now" : `−${back_s} s`, x(last - back_s), height - 4);
  }
}

function drawBand(context, palette, x, timeline, top) {
  timeline.forEach(({ t_s, state }, at) => {
    if (!(state in BAND)) return;
    const until = timeline[at + 1]?.t_s ?? t_s;
    context.fillStyle = palette.getPropertyValue(BAND[state]);
    context.fillRect(Math.floor(x(t_s)), top, Math.ceil(x(until) - x(t_s)) + 1, BAND_HEIGHT);
  });
}

// Of pictures that have nothing to do with one another, each stands until the next.
function drawLine(context, x, y, timeline, row, colour, still) {
  context.strokeStyle = colour;
  context.lineWidth = 1.6;
  let run = [];
  timeline.forEach(({ t_s, smoothed }, at) => {
    if (smoothed.length) run.push([x(t_s), y(smoothed[row])]);
    if (still && run.length) run.push([x(timeline[at + 1]?.t_s ?? t_s), run[0][1]]);
    if (still || !smoothed.length) {
      line(context, run); // a gap where nothing was analysed, never a line across it
      run = [];
    }
  });
  line(context, run);
  context.lineWidth = 1;
}

function line(context, points) {
  context.beginPath();
  points.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}
