// Paints the newest picture on a canvas and tells the server when it is painted; the next one comes only then.

import { partToShow } from "/viewer/crop.js";

const HEADER_BYTES = 12; // uint32 frame index, float32 age in ms, uint32 length of the verdict; verdict, JPEG

// Of the panel, in its own widths, as stream/overlay.py draws it: the height that its words need, and of this the lowest
// part, which stands at its bottom. What lies between is empty, and left out beside a low scan.
const PANEL_HEIGHT = 480 / 288, PANEL_FOOT = 104 / 288;

const RATE_WINDOW_MS = 2000;
const painted = []; // performance.now() of each

export class Picture {
  // onVerdict is called with what is said about a frame in the moment in which that frame is painted. hasPanel tells
  // whether the panel is shown. While isWhole(), all of the source's picture is, and paintOver is called with the context
  // and the picture's size, to add to it.
  constructor(canvas, { onVerdict, hasPanel, isWhole, paintOver }) {
    Object.assign(this, { canvas, onVerdict, hasPanel, isWhole, paintOver });
    this.context = canvas.getContext("2d", { alpha: false });
    this.bitmap = null; // the picture and its panel, as they came last
    this.size = null; // width and height of the source's picture in it
    this.part = null; // of that, the part that is shown
    this.frame = null; // index of the frame on the canvas
    this.paintedAt = null; // performance.now() when that frame came, null before the first
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.take(socket, event.data);
    socket.onclose = () => setTimeout(() => this.connect(), 1000);
  }

  async take(socket, message) {
    const seen = await this.paint(message).catch(() => false); // a JPEG that cannot be decoded was not seen
    if (!seen) await visible();
    if (socket.readyState === WebSocket.OPEN) socket.send(seen ? "painted" : "passed");
  }

  async paint(message) {
    const header = new DataView(message);
    const jpegFrom = HEADER_BYTES + header.getUint32(8, true);
    const verdict = JSON.parse(new TextDecoder().decode(message.slice(HEADER_BYTES, jpegFrom)));
    const bitmap = await createImageBitmap(new Blob([new Uint8Array(message, jpegFrom)], { type: "image/jpeg" }));
    if (!(await nextRepaint())) {
      bitmap.close();
      return false;
    }
    this.bitmap?.close();
    this.bitmap = bitmap;
    if (this.size?.join() !== verdict.size_px.join()) this.part = null;
    this.size = verdict.size_px;
    this.part = partToShow(this.part, verdict.scan_area, this.size);
    this.draw();
    this.onVerdict(verdict);
    this.note(header.getUint32(0, true));
    await new Promise((done) => setTimeout(done)); // runs after the browser has put this repaint on the screen
    return true;
  }

  // Puts the part to show and the panel side by side on the canvas, pixel for pixel.
  draw() {
    if (!this.bitmap) return;
    const { bitmap, context, size } = this, whole = this.isWhole();
    const [x, y, width, height] = whole ? [0, 0, ...size] : this.part;
    const panel = this.hasPanel() ? bitmap.width - size[0] : 0, foot = Math.ceil(PANEL_FOOT * panel);
    const rows = Math.min(Math.max(height, Math.ceil(PANEL_HEIGHT * panel)), bitmap.height);
    this.resize(width + panel, rows);
    if (rows === bitmap.height && width + panel === bitmap.width) {
      context.drawImage(bitmap, 0, 0);
    } else {
      const copy = (fromX, fromY, w, h, toX, toY) => context.drawImage(bitmap, fromX, fromY, w, h, toX, toY, w, h);
      copy(x, y, width, height, 0, 0);
      context.fillRect(0, height, width, rows - height);
      if (panel) copy(size[0], 0, panel, rows - foot, width, 0);
      if (panel) copy(size[0], bitmap.height - foot, panel, foot, width, rows - foot);
    }
    if (whole) this.paintOver(context, size);
  }

  resize(width, height) {
    if (this.canvas.width === width && this.canvas.height === height) return; // it would be cleared
    this.canvas.width = width;
    this.canvas.height = height;
  }

  // The same frame again (no signal) is nothing new.
  note(frame) {
    if (frame === this.frame) return;
    this.frame = frame;
    this.canvas.dataset.frame = frame;
    this.paintedAt = performance.now();
    painted.push(this.paintedAt);
  }
}

// Painted pictures a second over the last seconds, in this tab.
export function paintedFps() {
  const now = performance.now();
  while (painted.length && now - painted[0] > RATE_WINDOW_MS) painted.shift();
  return painted.length < 2 ? 0 : ((painted.length - 1) * 1000) / (now - painted[0]);
}

// True at the next repaint; false if the tab goes to the background, where there is none.
function nextRepaint() {
  return new Promise((done) => {
    if (document.hidden) return done(false);
    const hidden = () => done(false);
    document.addEventListener("visibilitychange", hidden, { once: true });
    requestAnimationFrame(() => {
      document.removeEventListener("visibilitychange", hidden);
      done(true);
    });
  });
}

function visible() {
  return new Promise((done) => {
    if (!document.hidden) return done();
    document.addEventListener("visibilitychange", () => done(), { once: true });
  });
}
