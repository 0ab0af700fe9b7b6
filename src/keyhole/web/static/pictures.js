// The built-in viewer: pictures that the archive has rendered, drawn on a plain canvas. No library, no WebGL, and
// nothing of the patient but what the archive draws into a picture. The page hands over every text that is shown.
import { fit, Gestures } from "./gestures.js";
import * as rendering from "./rendering.js";

const { first, number, search, able, told, SHIFTS, WINDOWS } = rendering;
const words = JSON.parse(document.getElementById("words").textContent);
const { lang } = document.documentElement;
const locale = navigator.languages.find((each) => each.split("-")[0] === lang) ?? lang;
const part = (id) => document.getElementById(id);
const stage = part("stage"), canvas = part("picture"), message = part("message"), slider = part("slider");
const looks = part("looks"), speed = part("speed"), play = part("play"), list = part("series");

const AHEAD = 8; // pictures on each side of the present one that are fetched
const CLOSE = 1.5; // how much larger a picture is shown before it is asked for in full
const NO_PICTURES = new Set([
  "SR", "KO", "PR", "DOC", "AU", "PLAN", "REG", "FID", "RWV", "RTSTRUCT", "RTPLAN", "RTRECORD", "SMR", "HD", "EPS",
  "ANN", "BI", "CTPROTOCOL", "XAPROTOCOL", "TEXTUREMAP", "M3D", "POS",
]);

const view = { zoom: 1, x: 0, y: 0 };
let all = [], current = null, listing = new AbortController(); // the series
let shown = null, bitmap = null, tall = 1, pumping = false, ahead = 1, timer = 0, present = false, ended = false;

const say = (name, values = {}) => words[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
const wanted = () => current?.pictures?.[current.at];

// -- the picture

function tell(name) {
  message.textContent = name ? say(name) : "";
  message.hidden = !name;
  part("retry").hidden = name !== "failed";
}

function draw() {
  const dots = Math.min(devicePixelRatio || 1, 2);
  const [width, height] = [stage.clientWidth, stage.clientHeight].map((side) => Math.max(1, Math.round(side * dots)));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  if (!bitmap) return;
  const place = fit(bitmap.width, bitmap.height * tall, width, height, view, dots);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, place.x, place.y, place.width, place.height);
}

function clear() {
  bitmap?.close();
  bitmap = shown = null;
  draw();
}

async function put(picture) {
  const look = looks.value, awaited = () => wanted() === picture && !ended;
  const asked = () => rendering.fetched(picture, look, view.zoom > CLOSE, awaited);
  // What was fetched ahead was tried once; now somebody waits for it.
  const blob = await asked().catch((refusal) => {
    if (!refusal.mayPass || !awaited()) throw refusal;
    return asked();
  });
  const next = await createImageBitmap(blob);
  if (picture.series !== current || ended) return next.close();
  bitmap?.close();
  bitmap = next;
  // An archive may have made square pixels of oblong ones already.
  const stored = picture.rows && picture.columns ? picture.columns / picture.rows : next.width / next.height;
  tall = Math.abs(next.width / next.height / stored - 1) < 0.03 ? picture.tall : 1;
  canvas.style.filter = (!rendering.windowOf(picture, look) && SHIFTS[look]?.filter) || "";
  tell();
  draw();
}

// Show what is wanted now; on the way there, whatever has come. There is never more than one such request.
async function pump() {
  if (pumping) return;
  pumping = true;
  for (let picture; !ended && (picture = wanted()) && picture !== shown;) {
    const slow = setTimeout(() => stage.classList.add("waiting"), 300);
    shown = picture; // whoever wants it in another look sets this back
    try {
      await put(picture);
    } catch (refusal) {
      if (wanted() === picture) refuse(refusal, "unable");
    }
    clearTimeout(slow);
    stage.classList.remove("waiting");
  }
  pumping = false;
  fetchNeighbours();
}

function refuse(refusal, otherwise) {
  const picture = shown;
  clear();
  shown = picture;
  tell(refusal.mayPass ? "failed" : refusal.status === 404 ? "gone" : otherwise);
}

function fetchNeighbours() {
  rendering.keepWaiting((work) => work.thumbnail);
  const { pictures, at } = current?.pictures ? current : { pictures: [], at: 0 };
  const count = pictures.length, look = looks.value;
  for (let step = 1; step <= AHEAD && step < count; step++) {
    for (const index of [at + step * ahead, at - step * ahead]) {
      const near = pictures[timer ? (index + count) % count : index];
      if (near) rendering.later(() => rendering.fetched(near, look, view.zoom > CLOSE, () => false));
    }
  }
}

function go(index) {
  if (!current?.pictures?.length) return;
  const next = Math.max(0, Math.min(current.pictures.length - 1, index));
  if (next !== current.at) ahead = next > current.at ? 1 : -1;
  current.at = next;
  tellPlace();
  pump();
}

function tellPlace() {
  const count = current?.pictures?.length ?? 0, index = count ? current.at + 1 : 0;
  const place = count ? say("place", { index, count }) : "";
  Object.assign(slider, { max: Math.max(1, count), value: index || 1, disabled: count < 2 });
  slider.setAttribute("aria-valuetext", place);
  part("counter").textContent = count ? `${index} / ${count}` : "";
  canvas.setAttribute("aria-label", [current.title, place].filter(Boolean).join(", "));
  for (const id of ["previous", "next", "play", "speed"]) part(id).disabled = count < 2;
}

function again() {
  shown = null;
  pump();
}

function magnify(times, x = 0, y = 0) {
  const before = view.zoom, zoom = Math.max(1, Math.min(12, before * times)), grown = zoom / before;
  const moved = zoom === 1 ? { x: 0, y: 0 } : { x: x - (x - view.x) * grown, y: y - (y - view.y) * grown };
  Object.assign(view, moved, { zoom });
  draw();
  if (before <= CLOSE && zoom > CLOSE && wanted() && rendering.isLarge(wanted())) again();
}

function stop() {
  clearTimeout(timer);
  timer = 0;
  play.setAttribute("aria-pressed", "false");
}

// A slow archive slows the film: nothing is left out.
function start() {
  play.setAttribute("aria-pressed", "true");
  const run = () => {
    timer = setTimeout(() => {
      run();
      if (!pumping) go((current.at + 1) % current.pictures.length);
    }, 1000 / Number(speed.value));
  };
  run();
}

// -- the series

const shows = (series) => !NO_PICTURES.has(series.modality) && series.count !== 0;

async function choose(series) {
  stop();
  listing.abort();
  listing = new AbortController();
  current = series;
  Object.assign(view, { zoom: 1, x: 0, y: 0 });
  for (const each of all) each.button.setAttribute("aria-current", each === series);
  series.button.scrollIntoView({ block: "nearest", inline: "nearest" });
  part("about").textContent = series.title;
  clear();
  offerLooks();
  tellPlace();
  if (!shows(series)) return tell("document");
  tell("loading");
  try {
    series.pictures ??= await rendering.found(series, "", listing.signal);
  } catch (refusal) {
    if (current === series) refuse(refusal, "unable");
    return;
  }
  if (current !== series) return;
  if (!series.pictures.length) return tell("gone");
  offerLooks();
  go(series.at);
}

function chooseNext(step) {
  const choice = all.filter((series) => shows(series) || series === current);
  const next = choice[choice.indexOf(current) + step];
  if (next) choose(next);
}

function offerLooks() {
  const before = looks.value, grey = current?.pictures?.[0]?.grey ?? true;
  const organs = current?.modality === "CT" && grey && able.window ? Object.keys(WINDOWS) : [];
  const names = ["usual", ...organs, ...Object.keys(SHIFTS)];
  looks.replaceChildren(...names.map((name) => new Option(say(name), name)));
  looks.value = names.includes(before) ? before : "usual";
}

const made = (tag, values, ...children) => {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
};

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    rendering.later(Object.assign(() => drawThumbnail(target), { thumbnail: true }));
  }
});

function listed(series) {
  const said = shows(series) ? [series.modality, series.count].filter(Boolean).join(" · ") : say("not-shown");
  const text = made("span", {}, series.title, made("small", { textContent: said }));
  const button = made("button", { type: "button", onclick: () => choose(series), series }, text);
  if (shows(series)) {
    button.prepend(made("canvas", { width: 128, height: 128, ariaHidden: "true" }));
    seen.observe(button);
  } else button.className = "document";
  series.button = button;
  return made("li", {}, button);
}

async function drawThumbnail({ series, firstChild: canvas }) {
  const [middle] = await rendering.found(series, `&limit=1&offset=${Math.floor((series.count || 1) / 2)}`);
  if (!middle) return;
  const small = await createImageBitmap(await rendering.thumbnail(middle));
  const place = fit(small.width, small.height, canvas.width, canvas.height, { zoom: 1, x: 0, y: 0 }, 1);
  canvas.getContext("2d").drawImage(small, place.x, place.y, place.width, place.height);
  small.close();
}

function day(text) {
  if (!/^\d{8}$/.test(text ?? "")) return "";
  const date = new Date(text.slice(0, 4), text.slice(4, 6) - 1, text.slice(6));
  return date.toLocaleDateString(locale, { dateStyle: "long" });
}

async function listStudy(item) {
  const study = first(item, "0020000D");
  const items = await search(`/studies/${study}/series?includefield=0008103E,00200011,00201209`);
  items.sort((one, other) => (number(one, "00200011") ?? 1e9) - (number(other, "00200011") ?? 1e9));
  const lines = [first(item, "00081030") || say("study"), day(first(item, "00080020"))].filter(Boolean);
  list.append(made("li", { className: "study" }, ...lines.map((line) => made("span", { textContent: line }))));
  for (const [index, described] of items.entries()) {
    const series = {
      study,
      uid: first(described, "0020000E"),
      modality: first(described, "00080060") ?? "",
      title: first(described, "0008103E") || say("nameless", { index: index + 1 }),
      count: number(described, "00201209"),
      at: 0,
    };
    all.push(series);
    list.append(listed(series));
  }
}

async function begin() {
  tell("loading");
  all = [];
  list.replaceChildren();
  try {
    for (const item of await search("/studies?includefield=00081030")) await listStudy(item);
  } catch (refusal) {
    return refuse(refusal, "failed");
  }
  const asked = new URLSearchParams(location.search).get("series");
  const beginning = all.find((series) => series.uid === asked) ?? all.find(shows) ?? all[0];
  if (beginning) choose(beginning);
  else tell("nothing");
}

// -- what people do

const DOES = {
  previous: () => go(current.at - 1),
  next: () => go(current.at + 1),
  play: () => (timer ? stop() : start()),
  closer: () => magnify(1.5),
  farther: () => magnify(1 / 1.5),
  whole: () => magnify(0),
  before: () => chooseNext(-1),
  after: () => chooseNext(1),
  retry: () => (!current ? begin() : current.pictures ? again() : choose(current)),
  help: () => part("keys").showModal(),
  close: () => part("keys").close(),
};
const MOVES = {
  ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity,
};
const KEYS = { " ": "play", "+": "closer", "=": "closer", "-": "farther", 0: "whole", "[": "before", "]": "after" };

for (const [id, does] of Object.entries(DOES)) part(id).addEventListener("click", does);
slider.addEventListener("input", () => go(slider.value - 1));
looks.addEventListener("change", again);

// Letters and signs only where the picture has the focus (WCAG 2.2, 2.1.4).
addEventListener("keydown", (event) => {
  const here = event.target === stage;
  if (event.ctrlKey || event.metaKey || event.altKey || !current || !(here || event.target === document.body)) return;
  if (event.key in MOVES) go(current.at + MOVES[event.key]);
  else if (here && event.key in KEYS && !part(KEYS[event.key]).disabled) DOES[KEYS[event.key]]();
  else return;
  event.preventDefault();
});

new Gestures(stage, view, {
  move: (steps) => current && go(current.at + steps),
  magnify,
  draw,
  count: () => current?.pictures?.length ?? 1,
});
new ResizeObserver(draw).observe(stage);

// -- the end

function leave() {
  ended = true;
  stop();
  rendering.end();
  clear();
  location.replace(`${rendering.root}expired`);
}

// A visit can end while nothing is fetched. Only what a person does (POST) counts as being there.
async function watch() {
  if (ended || document.hidden) return;
  const method = present ? "POST" : "GET";
  present = false;
  try {
    const answer = await fetch(`${rendering.root}here`, { method, cache: "no-store" });
    if (answer.status === 401 || answer.status === 410) leave();
  } catch { /* the network is gone for a moment */ }
}

for (const name of ["pointerdown", "wheel", "keydown"]) {
  addEventListener(name, () => { present = true; }, { capture: true, passive: true });
}
document.addEventListener("visibilitychange", () => {
  stop();
  watch();
});
setInterval(watch, 4000);

Object.assign(told, { waits: tell, ended: leave, refused: offerLooks });
begin();
