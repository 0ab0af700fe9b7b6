// Asking the visit's own DICOMweb root for lists and for rendered pictures (PS3.18 sections 10.6 and 8.3.5): with
// patience, a few at a time, and content with less where an archive refuses more.

export const root = location.pathname.replace(/[^/]*$/, "");

const AT_ONCE = 4; // requests for what is not on the screen yet
const KEPT = 64 << 20; // bytes of pictures that are held
const LARGE = 2048; // pixels of a side beyond which a picture is asked for smaller, until somebody looks closer
const LARGEST = 4096; // what the gateway lets through
const SMALL = 128;
const PATIENCE = [500, 2000]; // milliseconds before each further try
const WANTED = "00280004,00280008,00280010,00280011,00280030,00280034,00281050,00281051,00281056,00200013";

export const WINDOWS = { brain: [40, 80], lung: [-600, 1500], bone: [480, 2500], abdomen: [40, 400] };
export const SHIFTS = {
  // Of the stored window, in its widths; and what a screen does instead where there is none.
  brighter: { center: -0.2, width: 0.8, filter: "brightness(1.5)" },
  darker: { center: 0.25, width: 1.2, filter: "brightness(0.65)" },
};

export const able = { window: true, viewport: true }; // what the archive has not refused yet
export const told = { waits() {}, ended() {}, refused() {} }; // what the page wants to know
const held = new Map(); // which picture and how -> its promise and size; the one used longest ago comes first
let size = 0, underWay = 0, queue = [], over = false;

export const first = (item, tag) => item[tag]?.Value?.[0];
export const number = (item, tag) => {
  const value = Number.parseFloat(first(item, tag));
  return Number.isFinite(value) && Math.abs(value) < 1e8 ? value : null;
};

export class Refused extends Error {
  constructor(status) {
    super();
    this.status = status;
  }

  get mayPass() {
    return !this.status || this.status === 429 || this.status >= 500;
  }
}

// The answer to a GET, tried again where that may help. `awaited` says whether anybody waits for it still.
async function ask(path, accept, awaited, signal) {
  for (let tries = 0; ; tries++) {
    let refusal = new Refused(0);
    try {
      const answer = await fetch(`${root}dicom-web${path}`, { headers: { Accept: accept }, cache: "no-store", signal });
      if (answer.ok) return await (accept.startsWith("image") ? answer.blob() : answer.json());
      refusal = new Refused(answer.status);
    } catch { /* no answer, or half of one: as if the network were gone */ }
    if (refusal.status === 401 || refusal.status === 410) told.ended();
    if (!refusal.mayPass || over || tries === PATIENCE.length || !awaited()) throw refusal;
    told.waits(refusal.status === 429 ? "busy" : "again");
    await new Promise((done) => setTimeout(done, PATIENCE[tries]));
    if (!awaited()) throw refusal;
  }
}

export const search = (path, signal) => ask(path, "application/dicom+json", () => !signal?.aborted, signal);

// What can wait does so here, a few at a time.
export function later(work) {
  queue.push(work);
  goOn();
}

export function keepWaiting(wanted) {
  queue = queue.filter(wanted);
}

function goOn() {
  for (; underWay < AT_ONCE && queue.length; underWay++) {
    queue.shift()().catch(() => {}).finally(() => {
      underWay--;
      goOn();
    });
  }
}

// The pictures of a series in their order: every frame is one.
export async function found(series, paging, signal) {
  const path = `/studies/${series.study}/series/${series.uid}/instances`;
  const items = await search(`${path}?includefield=${WANTED}${paging}`, signal);
  items.sort((one, other) => (number(one, "00200013") ?? 0) - (number(other, "00200013") ?? 0));
  return items.flatMap((item) => pictures(series, `${path}/${first(item, "00080018")}`, item));
}

function pictures(series, path, item) {
  const spacing = (item["00280034"] ?? item["00280030"])?.Value?.map(Number);
  const window = [number(item, "00281050"), number(item, "00281051")];
  const frames = Math.max(1, number(item, "00280008") ?? 1);
  const common = {
    series,
    rows: number(item, "00280010"),
    columns: number(item, "00280011"),
    grey: !/RGB|YBR|PALETTE/.test(first(item, "00280004")),
    tall: spacing?.[0] > 0 && spacing[1] > 0 ? spacing[0] / spacing[1] : 1,
    window: window[0] !== null && window[1] >= 1 ? window : null,
    shape: first(item, "00281056") === "SIGMOID" ? "sigmoid" : "linear",
  };
  return Array.from({ length: frames }, (_, index) => (
    { ...common, path: `${path}${frames > 1 ? `/frames/${index + 1}` : ""}/rendered` }
  ));
}

// The window of a look: the stored one, that of an organ, or the stored one moved. Null: as the archive likes.
export function windowOf(picture, look) {
  if (!picture.grey || !able.window) return null;
  if (WINDOWS[look]) return WINDOWS[look];
  if (!picture.window || !SHIFTS[look]) return picture.window;
  const [center, width] = picture.window;
  return [center + SHIFTS[look].center * width, Math.max(1, SHIFTS[look].width * width)];
}

function viewportOf({ rows, columns }, side) {
  const scale = side / Math.max(rows, columns);
  if (!able.viewport || !rows || !columns || scale >= 1) return null;
  return [columns, rows].map((pixels) => Math.max(1, Math.round(pixels * scale)));
}

// The queries to try, the best first, and what each leaves out: archives may know neither window nor viewport.
function queries(picture, look, side) {
  const window = windowOf(picture, look), viewport = viewportOf(picture, side);
  const asked = Object.entries({
    window: window && `window=${window.map((value) => value.toFixed(2))},${WINDOWS[look] ? "linear" : picture.shape}`,
    viewport: viewport && `viewport=${viewport}`,
  }).filter(([, text]) => text);
  const without = (...names) => ({
    query: asked.filter(([name]) => !names.includes(name)).map(([, text]) => text).join("&"),
    left: names,
  });
  const ways = [without(), ...asked.map(([name]) => without(name))];
  return asked.length > 1 ? [...ways, without("window", "viewport")] : ways;
}

async function rendered(picture, look, side, awaited) {
  let last;
  for (const { query, left } of queries(picture, look, side)) {
    try {
      const blob = await ask(query ? `${picture.path}?${query}` : picture.path, "image/jpeg", awaited);
      for (const name of left) able[name] = false;
      if (left.length) told.refused();
      return blob;
    } catch (refusal) {
      last = refusal;
      if (refusal.status !== 400 && refusal.status !== 406) break;
    }
  }
  throw last;
}

export const isLarge = ({ rows, columns }) => Math.max(rows, columns) > LARGE;
export const thumbnail = (picture) => rendered(picture, "usual", SMALL, () => false);

// A picture, from memory if it is there. What failed is not remembered.
export function fetched(picture, look, close, awaited) {
  const large = close && isLarge(picture), name = [picture.path, look, large].join();
  const kept = held.get(name) ?? begun(name, rendered(picture, look, large ? LARGEST : LARGE, awaited));
  held.delete(name);
  held.set(name, kept);
  return kept.promise;
}

function begun(name, coming) {
  const kept = { size: 0 };
  kept.promise = coming.then((blob) => {
    kept.size = blob.size;
    size += blob.size;
    forgetOld(name);
    return blob;
  }, (refusal) => {
    held.delete(name);
    throw refusal;
  });
  return kept;
}

function forgetOld(but) {
  for (const [name, { size: less }] of held) {
    if (size <= KEPT) return;
    if (less && name !== but) {
      held.delete(name);
      size -= less;
    }
  }
}

// Nothing is asked again, and nothing is kept.
export function end() {
  over = true;
  queue = [];
  held.clear();
}
