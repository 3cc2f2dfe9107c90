// The key frames of what was flagged last, newest first; the first may still change. A click opens one larger.

export function showFlagged(section, flagged = []) {
  const list = section.querySelector("ol");
  const shown = new Map([...list.children].map((entry) => [Number(entry.dataset.number), entry]));
  const entries = flagged.map((episode) => {
    const entry = shown.get(episode.number) ?? create(episode);
    tell(entry, episode);
    return entry;
  });
  for (const entry of shown.values()) if (!entries.includes(entry)) entry.remove();
  list.prepend(...entries.filter((entry) => !entry.isConnected)); // who stays keeps the keyboard's focus
  section.hidden = !entries.length;
}

function create({ number, finding, colour }) {
  const entry = document.createElement("li");
  entry.dataset.number = number;
  const link = document.createElement("a");
  link.href = `/flagged/${number}.jpg`;
  link.target = "_blank";
  link.append(document.createElement("img"));
  const name = document.createElement("b");
  name.textContent = finding;
  name.style.color = colour;
  entry.append(link, name, document.createElement("span"));
  return entry;
}

function tell(entry, { number, finding, surely, frame, lasted_s, age_s }) {
  const picture = entry.querySelector("img");
  const address = `/flagged/${number}.jpg?frame=${frame}`; // else the browser would not ask for another one
  if (picture.getAttribute("src") !== address) picture.src = address;
  picture.alt = `key frame, ${finding} ${surely}, opens in a new tab`;
  const lasted = lasted_s < 0.05 ? "" : `; flagged for ${lasted_s.toFixed(1)}\u00a0s`;
  entry.querySelector("span").textContent = ` ${surely}, ${when(age_s)}${lasted}`;
}

function when(age_s) {
  if (age_s < 1) return "now";
  return age_s < 90 ? `${Math.round(age_s)}\u00a0s ago` : `${Math.round(age_s / 60)}\u00a0min ago`;
}
