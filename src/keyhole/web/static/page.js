// What several pages need: times in the reader's own zone, and whether this browser can draw images.
const language = document.documentElement.lang;
// As this reader writes it, when the page is in a language of theirs: 1 March in one English, March 1 in another.
const locale = navigator.languages.find((each) => each.split("-")[0] === language) ?? language;

export function moment(text) {
  return new Date(text).toLocaleString(locale, { dateStyle: "long", timeStyle: "short" });
}

export function tellTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) time.textContent = moment(time.dateTime);
}

// Whether the full viewer runs here: it draws with WebGL 2.
export function canDraw() {
  try {
    const context = document.createElement("canvas").getContext("webgl2");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return Boolean(context);
  } catch {
    return false;
  }
}

// Show what is for browsers that cannot draw only to them, and to nobody where the full viewer is not *wanted*.
export function checkWebgl(wanted = true) {
  const draws = !wanted || canDraw();
  for (const note of document.querySelectorAll("[data-no-webgl]")) note.hidden = draws;
  for (const way of document.querySelectorAll("[data-webgl]")) way.hidden = !draws;
}
