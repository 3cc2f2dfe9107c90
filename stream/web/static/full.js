// The picture with its strip and timeline on the whole screen, and back: by the button, or Escape.

export function offerFullScreen(button) {
  const stage = button.closest(".rcd-strip").parentElement;
  const isFull = () => document.fullscreenElement === stage;
  button.hidden = !document.fullscreenEnabled; // not on an iPhone
  button.addEventListener("click", () => (isFull() ? document.exitFullscreen() : stage.requestFullscreen()));
  document.addEventListener("fullscreenchange", () => button.setAttribute("aria-pressed", isFull()));
}
