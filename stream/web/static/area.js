// A rectangle drawn on the picture becomes the four numbers of the scan area, while they are on the page.
// All of the picture, and what lies around the area, is shown only then.

const NUMBERS = '#scan-area input[type="number"]';
const LEAST_PX = 4; // less is a click
const DONE = "#keep-area, #find-area";
const LOOK_EVERY_MS = 250; // whether the panel is open
const SKETCH_EVERY_MS = 1000;

export function drawArea(frame, picture) {
  const rectangle = document.createElement("div");
  rectangle.className = "rcd-drawn";
  rectangle.hidden = true;
  frame.append(rectangle);
  let from = null; // where the drag began, in the window

  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !isDrawing(frame) || !picture.size) return;
    event.preventDefault(); // no selection, no dragging of the page
    frame.setPointerCapture(event.pointerId);
    from = [event.clientX, event.clientY];
  });
  frame.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const on = frame.getBoundingClientRect();
    const [left, top, width, height] = spanned(from, [event.clientX, event.clientY]);
    Object.assign(rectangle.style, {
      left: percent(left - on.left, on.width), top: percent(top - on.top, on.height),
      width: percent(width, on.width), height: percent(height, on.height),
    });
    rectangle.hidden = false;
  });
  frame.addEventListener("pointerup", (event) => {
    if (from === null) return;
    const [start, end] = [from, [event.clientX, event.clientY]].map((point) => inPicture(point, picture));
    const sides = spanned(start, end);
    from = null; // the rectangle stays, to be looked at
    if (Math.min(sides[2], sides[3]) >= LEAST_PX) fill(sides);
    else stop();
  });
  frame.addEventListener("pointercancel", stop);
  document.addEventListener("keydown", (event) => event.key === "Escape" && stop());
  document.addEventListener("click", (event) => event.target.closest(DONE) && stop());
  setInterval(() => {
    if (isDrawing(frame) === numbersInSight()) return;
    frame.classList.toggle("rcd-drawing");
    picture.draw();
    stop();
  }, LOOK_EVERY_MS);

  function stop() {
    from = null;
    rectangle.hidden = true;
  }
}

// Whether somebody may draw on the picture in this frame, which then is shown whole.
export function isDrawing(frame) {
  return frame.classList.contains("rcd-drawing");
}

// Paints a coarse sketch of what is blanked over a picture of this size, for whoever draws another area.
export function surroundings() {
  let sketch = null;
  setInterval(async () => {
    const before = sketch;
    sketch = numbersInSight() ? await fetched("/sketch.png").catch(() => null) : null;
    before?.close();
  }, SKETCH_EVERY_MS);
  return (context, size) => {
    if (sketch) context.drawImage(sketch, 0, 0, ...size);
  };
}

async function fetched(address) {
  const answer = await fetch(address);
  return answer.ok ? createImageBitmap(await answer.blob()) : null;
}

function numbersInSight() {
  return numbers().some((input) => input.offsetParent !== null);
}

function numbers() {
  return [...document.querySelectorAll(NUMBERS)];
}

function percent(part, whole) {
  return `${(100 * part) / whole}%`;
}

// Left, top, width and height of the box between two corners.
function spanned([x1, y1], [x2, y2]) {
  return [Math.min(x1, x2), Math.min(y1, y2), Math.abs(x2 - x1), Math.abs(y2 - y1)];
}

// A point of the window in pixels of the source's picture; the canvas shows it whole, with bars if it must.
function inPicture([x, y], { canvas, size: [width, height] }) {
  const on = canvas.getBoundingClientRect();
  const scale = Math.min(on.width / canvas.width, on.height / canvas.height);
  const left = on.left + (on.width - scale * canvas.width) / 2;
  const top = on.top + (on.height - scale * canvas.height) / 2;
  const within = (value, most) => Math.round(Math.min(Math.max(value, 0), most));
  return [within((x - left) / scale, width), within((y - top) / scale, height)];
}

function fill(sides) {
  numbers().forEach((input, side) => {
    input.value = sides[side];
    input.dispatchEvent(new Event("input", { bubbles: true })); // as if it had been typed
  });
}
