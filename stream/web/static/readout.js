// The numbers beside the picture.

import { paintedFps } from "/viewer/picture.js";
import { onStatus, show } from "/viewer/status.js";

export function showReadout(root) {
  onStatus((status) => {
    const { engine } = status;
    show(root, {
      fps: status.fps?.toFixed(1),
      "painted-fps": paintedFps().toFixed(1),
      ...latency("drawn", status.drawn_ms),
      ...latency("painted", status.painted_ms),
      area: status.scan_area,
      engine: engine?.name,
      precision: engine?.precision,
      parity: parity(engine?.parity),
      replaced: engine?.replaced.join("; "),
      "operating-point": status.operating_point,
      weights: status.weights,
      device: engine?.device,
    }, "–");
    const counts = root.querySelector('[data-show="counts"]');
    if (status.counts) counts.replaceChildren(...status.counts.map(countRow));
    else counts.querySelectorAll("td").forEach((cell) => { cell.textContent = "–"; }); // what lies below stays where it is
  });
}

function parity(report) {
  return report && `|Δp| ${report.max_abs_dp.toFixed(4)}, ${report.flips} flips, maps ${report.map_correlation.toFixed(3)}`;
}

function latency(name, summary) {
  return Object.fromEntries(["p50", "p95", "p99"].map((key) => [`${name}-${key}`, summary?.[key].toFixed(0)]));
}

function countRow({ label, reason, count }) {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.textContent = reason ? `${label}: ${reason}` : label;
  head.title = head.textContent;
  const cell = document.createElement("td");
  cell.textContent = count.toLocaleString("en");
  row.append(head, cell);
  row.dataset.count = label;
  return row;
}
