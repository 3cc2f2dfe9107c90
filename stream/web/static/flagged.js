// The key frames of what was flagged last, newest first. A click opens one larger.

export function showFlagged(section, flagged = []) {
  const list = section.querySelector("ol");
  const shown = new Map([...list.children].map((entry) => [Number(entry.dataset.number), entry]));
  const entries = flagged.map((episode) => {
    const entry = shown.get(episode.number) ?? create(episode);
    entry.querySelector(".rcd-age").textContent = ago(episode.age_s);
    return entry;
  });
  for (const entry of shown.values()) if (!entries.includes(entry)) entry.remove();
  list.prepend(...entries.filter((entry) => !entry.isConnected)); // who stays keeps the keyboard's focus
  section.hidden = !entries.length;
}

function create({ number, finding, colour, probability, lasted_s }) {
  const entry = document.createElement("li");
  entry.dataset.number = number;
  const link = document.createElement("a");
  link.href = `/flagged/${number}.jpg`;
  link.target = "_blank";
  const surely = `${Math.round(100 * probability)} %`;
  const picture = document.createElement("img");
  picture.src = link.href;
  picture.alt = `key frame, ${finding} ${surely}, opens in a new tab`;
  link.append(picture);
  const words = document.createElement("b");
  words.textContent = finding;
  words.style.color = colour;
  const age = document.createElement("span");
  age.className = "rcd-age";
  entry.append(link, words, ` ${surely}, `, age);
  if (lasted_s >= 0.05) entry.append(`; flagged for ${lasted_s.toFixed(1)} s`);
  return entry;
}

function ago(age_s) {
  return age_s < 90 ? `${Math.round(age_s)} s ago` : `${Math.round(age_s / 60)} min ago`;
}
