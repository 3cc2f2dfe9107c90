// The key frames of what was flagged last, newest first. A click opens one in its full size.

export function showFlagged(section, flagged) {
  section.hidden = !flagged?.length;
  if (section.hidden) return;
  const list = section.querySelector("ol");
  const shown = new Map([...list.children].map((entry) => [Number(entry.dataset.number), entry]));
  const entries = flagged.map((episode) => {
    const entry = shown.get(episode.number) ?? create(episode);
    entry.querySelector(".rcd-age").textContent = ` ${ago(episode.age_s)}`;
    return entry;
  });
  if (entries.some((entry, at) => entry !== list.children[at])) list.replaceChildren(...entries);
}

function create({ number, finding, colour, probability, lasted_s }) {
  const entry = document.createElement("li");
  entry.dataset.number = number;
  const link = document.createElement("a");
  link.href = `/flagged/${number}.jpg`;
  link.target = "_blank";
  const picture = document.createElement("img");
  picture.src = link.href;
  picture.alt = `flagged ${finding}`;
  link.append(picture);
  const words = document.createElement("b");
  words.textContent = finding;
  words.style.color = colour;
  const age = document.createElement("span");
  age.className = "rcd-age";
  entry.append(link, words, ` ${Math.round(100 * probability)} %, for ${lasted_s.toFixed(1)} s,`, age);
  return entry;
}

function ago(age_s) {
  return age_s < 90 ? `${Math.round(age_s)} s ago` : `${Math.round(age_s / 60)} min ago`;
}
