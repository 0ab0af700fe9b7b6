// The built-in viewer: pictures that the archive has rendered, drawn on a plain canvas. No library, no WebGL, and nothing
// of the patient but what the archive draws into a picture. The page hands over every text, in its reader's language.
import { fit, Gestures } from "./gestures.js";

const visit = location.pathname.replace(/[^/]*$/, "");
const words = JSON.parse(document.getElementById("words").textContent);
const part = (id) => document.getElementById(id);
const stage = part("stage"), canvas = part("picture"), message = part("message"), slider = part("slider");
const looks = part("looks"), speed = part("speed"), play = part("play"), list = part("series");

const AT_ONCE = 4; // requests for what is not on the screen yet
const AHEAD = 8; // pictures on each side of the present one
const KEPT = 64 << 20; // bytes of pictures that are held
const LARGE = 2048; // pixels of a side beyond which a picture is asked for smaller, until somebody looks closer
const LARGEST = 4096; // what the gateway lets through
const PATIENCE = [500, 2000]; // milliseconds before each further try

const NO_PICTURES = new Set(("SR KO PR DOC AU PLAN REG FID RWV RTSTRUCT RTPLAN RTRECORD SMR HD EPS ANN BI " +
  "CTPROTOCOL XAPROTOCOL TEXTUREMAP M3D POS").split(" "));
const WINDOWS = { brain: [40, 80], lung: [-600, 1500], bone: [480, 2500], abdomen: [40, 400] };
const SHIFTS = { brighter: [-0.2, 0.8, "brightness(1.5)"], darker: [0.25, 1.2, "brightness(0.65)"] };
const WANTED = "00080060,00280004,00280008,00280010,00280011,00280030,00280034,00281050,00281051,00281056,00200013";

const able = { window: true, viewport: true }; // what the archive has not refused yet
const held = new Map(); // which picture and how -> its promise and size; the one used longest ago comes first
const view = { zoom: 1, x: 0, y: 0 };
let size = 0, underWay = 0, queue = [], present = false, ended = false;
let all = [], current = null, shown = null, bitmap = null, tall = 1, pumping = false, ahead = 1, timer = 0;

const say = (name, values = {}) => words[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
const first = (item, tag) => item[tag]?.Value?.[0];
const number = (item, tag) => {
  const value = Number.parseFloat(first(item, tag));
  return Number.isFinite(value) && Math.abs(value) < 1e8 ? value : null;
};

// -- asking

class Refused extends Error {
  constructor(status) {
    super();
    this.status = status;
  }
}

// The answer to a GET, tried again where that may help. `still` says whether anybody waits for it.
async function ask(path, accept, still) {
  for (let tries = 0; ; tries++) {
    let status = 0;
    try {
      const answer = await fetch(`${visit}dicom-web${path}`, { headers: { Accept: accept }, cache: "no-store" });
      if (answer.ok) return await (accept.startsWith("image") ? answer.blob() : answer.json());
      status = answer.status;
    } catch { /* no answer, or half of one: as if the network were gone */ }
    if (status === 401 || status === 410) leave();
    if ((status && status < 500 && status !== 429) || tries === PATIENCE.length || ended) throw new Refused(status);
    if (still()) tell(status === 429 ? "busy" : "again");
    await new Promise((done) => setTimeout(done, PATIENCE[tries]));
    if (!still()) throw new Refused(0);
  }
}

const search = (path) => ask(path, "application/dicom+json", () => true);

// What can wait does so here, a few at a time.
function later(work) {
  queue.push(work);
  goOn();
}

function goOn() {
  for (; underWay < AT_ONCE && queue.length; underWay++) {
    queue.shift()().catch(() => {}).finally(() => {
      underWay--;
      goOn();
    });
  }
}

// -- which picture, and how it is to look

function* pictures(series, items) {
  for (const item of items) {
    const rows = number(item, "00280010"), columns = number(item, "00280011");
    const spacing = (item["00280034"] ?? item["00280030"])?.Value?.map(Number);
    const window = [number(item, "00281050"), number(item, "00281051")];
    const frames = number(item, "00280008") ?? 1;
    for (let frame = 1; frame <= frames; frame++) yield {
      series,
      path: `/studies/${series.study}/series/${series.uid}/instances/${first(item, "00080018")}` +
        (frames > 1 ? `/frames/${frame}` : "") + "/rendered",
      rows, columns,
      grey: !/RGB|YBR|PALETTE/.test(first(item, "00280004")),
      tall: spacing?.[0] > 0 && spacing[1] > 0 ? spacing[0] / spacing[1] : 1,
      window: window[0] !== null && window[1] >= 1 ? window : null,
      shape: first(item, "00281056") === "SIGMOID" ? "sigmoid" : "linear",
    };
  }
}

async function found(series, paging = "") {
  const items = await search(`/studies/${series.study}/series/${series.uid}/instances?includefield=${WANTED}${paging}`);
  items.sort((one, other) => (number(one, "00200013") ?? 0) - (number(other, "00200013") ?? 0));
  return [...pictures(series, items)];
}

// The window of a look: the stored one, that of the organ, or the stored one moved. None: as the archive likes.
function windowOf(picture, look) {
  if (!picture.grey || !able.window) return null;
  if (WINDOWS[look]) return WINDOWS[look];
  if (!picture.window || !SHIFTS[look]) return picture.window;
  const [center, width] = picture.window, [shift, stretch] = SHIFTS[look];
  return [center + shift * width, Math.max(1, stretch * width)];
}

function viewportOf({ rows, columns }, side) {
  const scale = side / Math.max(rows, columns);
  return able.viewport && rows && columns && scale < 1
    ? [columns, rows].map((pixels) => Math.max(1, Math.round(pixels * scale))) : null;
}

// The addresses to try, the best first: archives may know neither window nor viewport (PS3.18 section 8.3.5).
function* addresses(picture, look, side) {
  const window = windowOf(picture, look), viewport = viewportOf(picture, side);
  const shape = WINDOWS[look] ? "linear" : picture.shape;
  const asks = {
    window: window && `window=${window.map((value) => value.toFixed(2))},${shape}`,
    viewport: viewport && `viewport=${viewport}`,
  };
  for (const names of [["window", "viewport"], ["viewport"], ["window"], []]) {
    if (names.every((name) => asks[name])) {
      const left = Object.keys(asks).filter((name) => asks[name] && !names.includes(name));
      yield { address: [picture.path, names.map((name) => asks[name]).join("&")].filter(Boolean).join("?"), left };
    }
  }
}

async function rendered(picture, look, side, still) {
  for (const { address, left } of addresses(picture, look, side)) {
    try {
      const blob = await ask(address, "image/jpeg", still);
      for (const name of left) able[name] = false;
      if (left.length) offerLooks();
      return blob;
    } catch (refusal) {
      if (refusal.status !== 400 && refusal.status !== 406) throw refusal;
    }
  }
  throw new Refused(406);
}

// A picture, from memory if it is there. What failed is not remembered.
function picture(which, still) {
  const large = view.zoom > 1.5 && Math.max(which.rows, which.columns) > LARGE;
  const name = [which.path, looks.value, large].join();
  const kept = held.get(name) ?? fetched(name, which, large ? LARGEST : LARGE, still);
  held.delete(name);
  held.set(name, kept);
  return kept.promise;
}

function fetched(name, which, side, still) {
  const kept = { size: 0 };
  kept.promise = rendered(which, looks.value, side, still).then((blob) => {
    kept.size = blob.size;
    size += blob.size;
    for (const [old, { size: less }] of held) {
      if (size <= KEPT) break;
      if (less && old !== name) held.delete(old), (size -= less);
    }
    return blob;
  }, (refusal) => {
    held.delete(name);
    throw refusal;
  });
  return kept;
}

// -- showing

function tell(name, values) {
  message.textContent = name ? say(name, values) : "";
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

function forget() {
  bitmap?.close();
  bitmap = shown = null;
  draw();
}

const isWanted = (which) => current?.pictures?.[current.at] === which;
const passing = ({ status }) => !status || status === 429 || status >= 500;

async function put(which) {
  const still = () => isWanted(which);
  // What was fetched ahead was tried once; now somebody waits for it.
  const blob = await picture(which, still).catch((refusal) => {
    if (!passing(refusal) || !still()) throw refusal;
    return picture(which, still);
  });
  const next = await createImageBitmap(blob);
  if (which.series !== current || ended) return next.close();
  bitmap?.close();
  bitmap = next;
  // An archive may have made square pixels of oblong ones already.
  tall = !which.rows || Math.abs((next.width / next.height) * (which.rows / which.columns) - 1) < 0.03 ? which.tall : 1;
  canvas.style.filter = (!windowOf(which, looks.value) && SHIFTS[looks.value]?.[2]) || "";
  tell();
  draw();
}

// Show what is wanted now; on the way there, whatever has come. There is never more than one such request.
async function pump() {
  if (pumping) return;
  pumping = true;
  for (let wanted; !ended && (wanted = current?.pictures?.[current.at]) && wanted !== shown;) {
    const slow = setTimeout(() => stage.classList.add("waiting"), 300);
    try {
      await put(wanted);
    } catch (refusal) {
      if (isWanted(wanted)) {
        forget();
        tell(passing(refusal) ? "failed" : refusal.status === 404 ? "gone" : "unable");
      }
    }
    clearTimeout(slow);
    stage.classList.remove("waiting");
    shown = wanted;
  }
  pumping = false;
  fetchNeighbours();
}

function fetchNeighbours() {
  const { pictures: near, at } = current?.pictures ? current : { pictures: [], at: 0 };
  queue = queue.filter((work) => work.thumbnail);
  for (let step = 1; step <= AHEAD && step < near.length; step++) {
    for (const index of [at + step * ahead, at - step * ahead]) {
      const which = near[timer ? (index + near.length) % near.length : index];
      if (which) later(() => picture(which, () => false));
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
  canvas.setAttribute("aria-label", current ? [current.title, place].filter(Boolean).join(", ") : "");
  for (const id of ["previous", "next", "play", "speed"]) part(id).disabled = count < 2;
}

function again() {
  shown = null;
  pump();
}

// -- series

const shows = (series) => !NO_PICTURES.has(series.modality) && series.count !== 0;

async function choose(series) {
  stop();
  current = series;
  Object.assign(view, { zoom: 1, x: 0, y: 0 });
  for (const each of all) each.button.setAttribute("aria-current", each === series);
  series.button.scrollIntoView({ block: "nearest", inline: "nearest" });
  part("about").textContent = series.title;
  forget();
  tell("loading");
  offerLooks();
  tellPlace();
  if (!shows(series)) return tell("document");
  try {
    series.pictures ??= await found(series);
  } catch (refusal) {
    if (current === series) tell(refusal.status === 404 ? "gone" : "failed");
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

function listed(series) {
  const button = document.createElement("button"), text = document.createElement("span"), small = document.createElement("small");
  const thumbnail = Object.assign(document.createElement("canvas"), { width: 128, height: 128 });
  thumbnail.setAttribute("aria-hidden", "true");
  small.textContent = shows(series) ? [series.modality, series.count].filter(Boolean).join(" · ") : say("not-shown");
  text.append(series.title, small);
  button.type = "button";
  button.append(thumbnail, text);
  button.addEventListener("click", () => choose(series));
  const item = document.createElement("li");
  item.append(button);
  series.button = button;
  if (shows(series)) seen.observe(button);
  button.thumbnail = Object.assign(() => drawThumbnail(series, thumbnail), { thumbnail: true });
  return item;
}

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) {
    seen.unobserve(target);
    later(target.thumbnail);
  }
});

async function drawThumbnail(series, thumbnail) {
  const [middle] = await found(series, `&limit=1&offset=${Math.floor((series.count || 1) / 2)}`);
  if (!middle) return;
  const small = await createImageBitmap(await rendered(middle, "usual", 128, () => false));
  const place = fit(small.width, small.height, 128, 128, { zoom: 1, x: 0, y: 0 }, 1);
  thumbnail.getContext("2d").drawImage(small, place.x, place.y, place.width, place.height);
  small.close();
}

const day = (text) => /^\d{8}$/.test(text ?? "")
  ? new Date(text.slice(0, 4), text.slice(4, 6) - 1, text.slice(6)).toLocaleDateString(document.documentElement.lang, { dateStyle: "long" })
  : "";

async function listStudy(item) {
  const study = first(item, "0020000D");
  const items = await search(`/studies/${study}/series?includefield=0008103E,00200011,00201209`);
  items.sort((one, other) => (number(one, "00200011") ?? 1e9) - (number(other, "00200011") ?? 1e9));
  const heading = document.createElement("li");
  heading.className = "study";
  heading.append(...[first(item, "00081030") || say("study"), day(first(item, "00080020"))].filter(Boolean).map((text) => {
    const line = document.createElement("span");
    line.textContent = text;
    return line;
  }));
  list.append(heading);
  items.forEach((described, index) => {
    const series = {
      study, uid: first(described, "0020000E"), modality: first(described, "00080060") ?? "", at: 0,
      title: first(described, "0008103E") || say("nameless", { index: index + 1 }), count: number(described, "00201209"),
    };
    all.push(series);
    list.append(listed(series));
  });
}

async function begin() {
  tell("loading");
  all = [];
  list.replaceChildren();
  try {
    const studies = await search("/studies?includefield=00081030");
    for (const item of studies) await listStudy(item);
  } catch {
    return tell("failed");
  }
  const asked = new URLSearchParams(location.search).get("series");
  const start = all.find((series) => series.uid === asked) ?? all.find(shows) ?? all[0];
  if (start) choose(start);
  else tell("nothing");
}

// -- what people do

function stop() {
  clearTimeout(timer);
  timer = 0;
  play.setAttribute("aria-pressed", "false");
}

function start() {
  play.setAttribute("aria-pressed", "true");
  const run = () => {
    const after = 1000 / Number(speed.value);
    timer = setTimeout(() => {
      if (!pumping) go((current.at + 1) % current.pictures.length); // a slow archive slows the film: nothing is left out
      run();
    }, after);
  };
  run();
}

function magnify(times, x = 0, y = 0) {
  const zoom = Math.max(1, Math.min(12, view.zoom * times)), change = zoom / view.zoom;
  const closer = view.zoom <= 1.5 && zoom > 1.5;
  Object.assign(view, zoom === 1 ? { x: 0, y: 0 } : { x: x - (x - view.x) * change, y: y - (y - view.y) * change }, { zoom });
  draw();
  const { rows, columns } = current?.pictures?.[current.at] ?? {};
  if (closer && Math.max(rows, columns) > LARGE) again();
}

const DOES = {
  previous: () => go(current.at - 1),
  next: () => go(current.at + 1),
  play: () => (timer ? stop() : start()),
  closer: () => magnify(1.5),
  farther: () => magnify(1 / 1.5),
  whole: () => magnify(0),
  before: () => chooseNext(-1),
  after: () => chooseNext(1),
  retry: () => (all.length ? (current.pictures ? again() : choose(current)) : begin()),
  help: () => part("keys").showModal(),
  close: () => part("keys").close(),
};
for (const [id, does] of Object.entries(DOES)) part(id).addEventListener("click", does);

const MOVES = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 };
const KEYS = { " ": "play", "+": "closer", "=": "closer", "-": "farther", 0: "whole", "[": "before", "]": "after", "?": "help" };

// Letters and signs only where the picture has the focus (WCAG 2.1.4).
addEventListener("keydown", (event) => {
  const here = event.target === stage;
  if (event.ctrlKey || event.metaKey || event.altKey || !current || !(here || event.target === document.body)) return;
  if (event.key in MOVES) go(current.at + MOVES[event.key]);
  else if (here && event.key in KEYS && !part(KEYS[event.key]).disabled) DOES[KEYS[event.key]]();
  else return;
  event.preventDefault();
});
slider.addEventListener("input", () => go(slider.value - 1));
looks.addEventListener("change", again);

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
  held.clear();
  forget();
  location.replace(`${visit}expired`);
}

// A visit can end while nothing is fetched. Only what a person does (POST) counts as being there.
async function watch() {
  if (ended || document.hidden) return;
  const method = present ? "POST" : "GET";
  present = false;
  try {
    const answer = await fetch(`${visit}here`, { method, cache: "no-store" });
    if (answer.status === 401 || answer.status === 410) leave();
  } catch { /* the network is gone for a moment */ }
}
for (const name of ["pointerdown", "wheel", "keydown"]) addEventListener(name, () => { present = true; }, { capture: true, passive: true });
document.addEventListener("visibilitychange", () => { stop(); watch(); });
setInterval(watch, 4000);

begin();
