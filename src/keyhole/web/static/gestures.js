// Fingers, mouse and wheel on a picture: what they mean, and where a picture lies.

const NEAR = 30; // pixels within which two taps are one
const SOON = 300; // milliseconds between them
const NOTCH = 60; // of a wheel, for one picture

// Where a picture of width x height lies in a field: as large as it fits, then as `view` has moved it.
export function fit(width, height, across, down, view, dots) {
  const scale = Math.min(across / width, down / height) * view.zoom;
  const size = { width: width * scale, height: height * scale };
  return { ...size, x: (across - size.width) / 2 + view.x * dots, y: (down - size.height) / 2 + view.y * dots };
}

export class Gestures {
  constructor(stage, view, does) {
    Object.assign(this, { stage, view, does, down: new Map(), gone: 0, turned: 0, tapped: null, moved: false });
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    // Or the browser takes a quick movement for a fling, and the next tap, on any button, for what ends it.
    stage.addEventListener("touchmove", (event) => event.preventDefault(), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.press(event));
    stage.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => this.release(event));
  }

  // Relative to the middle of the stage, as `view` is.
  place(event) {
    const field = this.stage.getBoundingClientRect();
    return { x: event.clientX - field.left - field.width / 2, y: event.clientY - field.top - field.height / 2 };
  }

  wheel(event) {
    event.preventDefault();
    const { x, y } = this.place(event);
    if (event.ctrlKey) return this.does.magnify(Math.exp(-event.deltaY / 100), x, y); // pinching a touchpad comes so
    this.turned += event.deltaMode ? Math.sign(event.deltaY) * NOTCH : event.deltaY;
    const steps = Math.trunc(this.turned / NOTCH);
    this.turned -= steps * NOTCH;
    if (steps) this.does.move(steps);
  }

  press(event) {
    if (event.button || event.target.closest("button")) return;
    this.stage.setPointerCapture(event.pointerId);
    this.stage.focus({ preventScroll: true });
    this.down.set(event.pointerId, this.place(event));
    this.gone = 0;
    this.moved = this.down.size > 1;
  }

  drag(event) {
    const before = this.down.get(event.pointerId);
    if (!before) return;
    const now = this.place(event);
    if (this.down.size === 2) this.pinch(event.pointerId, before, now);
    else if (this.view.zoom > 1) this.pan(now.x - before.x, now.y - before.y);
    else this.scroll(now.x - before.x, now.y - before.y);
    this.down.set(event.pointerId, now);
  }

  pinch(id, before, now) {
    const [still] = [...this.down].filter(([other]) => other !== id).map(([, place]) => place);
    const apart = (place) => Math.max(1, Math.hypot(place.x - still.x, place.y - still.y));
    this.does.magnify(apart(now) / apart(before), (now.x + still.x) / 2, (now.y + still.y) / 2);
    if (this.view.zoom > 1) this.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
  }

  pan(x, y) {
    this.moved ||= Math.hypot(x, y) > 2;
    this.view.x += x;
    this.view.y += y;
    this.does.draw();
  }

  // A finger's way over the whole stage is a whole series, unless that is too fast or too slow.
  scroll(x, y) {
    this.gone += Math.abs(x) > Math.abs(y) ? -x : y;
    const step = Math.max(6, Math.min(40, this.stage.clientHeight / this.does.count()));
    const steps = Math.trunc(this.gone / step);
    if (!steps) return;
    this.moved = true;
    this.gone -= steps * step;
    this.does.move(steps);
  }

  release(event) {
    const place = this.down.get(event.pointerId);
    this.down.delete(event.pointerId);
    if (!place || this.moved || event.type === "pointercancel") return;
    const last = this.tapped;
    this.tapped = { ...place, at: event.timeStamp };
    if (last && event.timeStamp - last.at < SOON && Math.hypot(place.x - last.x, place.y - last.y) < NEAR) {
      this.tapped = null;
      this.does.magnify(this.view.zoom > 1 ? 0 : 2.5, place.x, place.y);
    }
  }
}
