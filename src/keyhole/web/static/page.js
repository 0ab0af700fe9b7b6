// What several pages need: times in the reader's own zone, and whether this browser can draw images.

export function moment(text) {
  return new Date(text).toLocaleString([], { dateStyle: "long", timeStyle: "short" });
}

export function tellTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) time.textContent = moment(time.dateTime);
}

export function checkWebgl() {
  let context = null;
  try { context = document.createElement("canvas").getContext("webgl2"); } catch { /* as if there were none */ }
  for (const note of document.querySelectorAll("[data-no-webgl]")) note.hidden = Boolean(context);
  context?.getExtension("WEBGL_lose_context")?.loseContext();
}
