// Paints the newest picture on a canvas and tells the server when it is painted; the next one comes only then.

const HEADER_BYTES = 12; // uint32 frame index, float32 age in ms, uint32 length of the verdict; verdict, JPEG

const RATE_WINDOW_MS = 2000;
const painted = []; // performance.now() of each

export class Picture {
  // onVerdict is called with what is said about a frame in the moment in which that frame is painted; paintOver with
  // the context, to add to it.
  constructor(canvas, onVerdict, paintOver) {
    this.canvas = canvas;
    this.onVerdict = onVerdict;
    this.paintOver = paintOver;
    this.context = canvas.getContext("2d", { alpha: false });
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
    if (!(await nextRepaint())) return false;
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      this.canvas.width = bitmap.width;
      this.canvas.height = bitmap.height;
    }
    this.context.drawImage(bitmap, 0, 0);
    this.paintOver(this.context);
    bitmap.close();
    this.onVerdict(verdict);
    this.note(header.getUint32(0, true));
    await new Promise((done) => setTimeout(done)); // runs after the browser has put this repaint on the screen
    return true;
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
