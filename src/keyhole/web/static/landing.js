// The secret is in the address's fragment, which browsers keep to themselves. It is sent in a body: first to learn what
// to ask for, then, when a person says so, with the answers, to open the images. Until that has worked the address stays
// as it is, so that reloading and opening the link elsewhere go on working.
import { answers, ask, correctable, mailsCodes, say } from "./answers.js";
import { cookies } from "./frame.js";
import { checkWebgl, moment } from "./page.js";

const page = document.querySelector("main");
const opensAtOnce = "code" in page.dataset;
const form = document.getElementById("answers");
const pasted = document.getElementById("paste");
const elsewhere = document.getElementById("window");
let kept = "ordinary";
let asked = 0;

function show(state) {
  let shown = null;
  for (const section of page.querySelectorAll("[data-state]")) {
    section.hidden = section.dataset.state !== state;
    if (!section.hidden) shown = section;
  }
  if (!shown) return show("trouble");
  shown.querySelector("h1[tabindex]")?.focus();
}

async function post(path, content) {
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(kept === "partitioned" && { "Keyhole-Framed": "yes" }) },
      body: JSON.stringify(content),
      credentials: "same-origin",
      cache: "no-store",
    });
    const said = await answer.json();
    return answer.ok ? said : { ...said, problem: said.reason || "trouble" };
  } catch {
    return { problem: "trouble" };
  }
}

function refuse(said) {
  for (const place of page.querySelectorAll("[data-opens]")) {
    place.hidden = !said.not_before;
    if (said.not_before) place.querySelector("strong").textContent = moment(said.not_before);
  }
  show(said.problem);
}

function secret() {
  return location.hash.slice(1);
}

async function look() {
  const turn = ++asked;
  kept = cookies();
  if (kept === "off") return show("cookies-off");
  if (kept === "window") {
    elsewhere.href = location.href; // with its fragment; nothing has been opened yet
    return show("new-window");
  }
  if (!secret()) return show("paste");
  show("busy");
  if (opensAtOnce) return open("/o", { code: secret() });
  if (!/^\/s\/[a-z2-7]{16}$/.test(location.pathname)) return show("mistyped");
  const said = await post(location.pathname, { secret: secret() });
  if (turn !== asked) return; // another link was pasted meanwhile
  if (said.problem) return refuse(said);
  if (!ask(said)) return show("trouble");
  document.getElementById("until").textContent = moment(said.expires_at);
  document.getElementById("once").hidden = said.visits_left !== 1;
  checkWebgl(said.viewer !== "pictures");
  show("ready");
}

async function open(path, content) {
  const said = await post(path, content);
  if (!said.problem) {
    history.replaceState(null, "", location.pathname);
    return location.replace(`/v/${said.visit}/`);
  }
  if (said.problem === "answers-needed") await look(); // the sender asks for more by now
  if (said.tries_left === 0) return show("locked");
  if (form && correctable(said.problem)) return say(said.problem, said.tries_left);
  refuse(said);
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = document.getElementById("open");
  const given = answers();
  if (button.disabled || given === null) return;
  button.disabled = true;
  await open(`${location.pathname}/visits`, { secret: secret(), ...given });
  button.disabled = false;
});

if (form) {
  mailsCodes(async () => {
    const said = await post(`${location.pathname}/codes`, { secret: secret() });
    if (!["expired", "withdrawn", "used-up", "not-yet", "locked", "wrong-secret"].includes(said.problem)) return said;
    refuse(said);
    return null;
  });
}

pasted?.addEventListener("submit", (event) => {
  event.preventDefault();
  const [address, fragment] = document.getElementById("link").value.trim().replace("%23", "#").split("#");
  const share = fragment === undefined ? "" : address.split(/\/s\//i).pop().split(/[/?]/)[0].trim().toLowerCase();
  const hash = `#${(fragment ?? address).trim()}`;
  if (share && location.pathname !== `/s/${share}`) location.assign(`/s/${encodeURIComponent(share)}${hash}`);
  else if (location.hash !== hash) location.hash = hash;
  else look();
});

for (const again of page.querySelectorAll("[data-again]")) again.addEventListener("click", look);
addEventListener("hashchange", look);
look();
