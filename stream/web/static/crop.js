// Which part of the source's picture is shown? The scan area, as all around it is black; held still, or it would jump.

const MARGIN = 0.01; // of the longer side: the area changes by a few pixels from look to look
const TOO_LARGE = 1.25; // times the pixels that would do

// Parts and areas are [x, y, width, height] in the picture, whose size is [width, height]. Without an area, as while
// nothing like a scan is seen, what was shown ``before`` is.
export function partToShow(before, area, size) {
  if (!area) return before ?? [0, 0, ...size];
  const part = withMargin(area, size);
  return before && holds(before, area) && pixels(before) <= TOO_LARGE * pixels(part) ? before : part;
}

function withMargin([x, y, width, height], size) {
  const margin = Math.ceil(MARGIN * Math.max(...size));
  const [left, top] = [Math.max(x - margin, 0), Math.max(y - margin, 0)];
  const right = Math.min(x + width + margin, size[0]), bottom = Math.min(y + height + margin, size[1]);
  return [left, top, right - left, bottom - top];
}

function holds([x, y, width, height], [inX, inY, inWidth, inHeight]) {
  return inX >= x && inY >= y && inX + inWidth <= x + width && inY + inHeight <= y + height;
}

function pixels([, , width, height]) {
  return width * height;
}
