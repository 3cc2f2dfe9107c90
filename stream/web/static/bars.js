// The probability of each class and what the heat map is of, as on the panel, for screens on which that would be too
// small to be read.

export function nameBars(list, { classes = [], class_colours }) {
  if (list.childElementCount === classes.length) return;
  list.replaceChildren(...classes.map((label, row) => {
    const entry = document.createElement("li");
    entry.append(label, document.createElement("b"));
    entry.style.setProperty("--colour", class_colours[row]);
    return entry;
  }));
}

export function fillBars(list, { smoothed, surely }) {
  [...list.children].forEach((entry, row) => {
    entry.lastChild.textContent = surely[row] ?? "–"; // an empty bar alone would read as 0 %
    entry.style.setProperty("--share", smoothed[row] ?? 0);
  });
}

export function nameHeatMap(legend, { heat_map }) {
  legend.firstChild.textContent = heat_map ? `heat map: ${heat_map}` : "no heat map";
  legend.classList.toggle("rcd-none", !heat_map);
}
