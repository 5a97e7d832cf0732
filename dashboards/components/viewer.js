// One frame on a canvas: window and level, zoom, pan, caliper, overlays. Ignores where the frame is from.
//
// `data` is what `dashboards/views/medical_viewer.py` sends. Its texts are set by textContent: none becomes markup.
// Coordinates are pixels of the stored frame, (column, row), the centre of the first at (0.5, 0.5).

const HIGHLIGHT = "trivium:findings"; // event on window, {ids, isPinned}: image and text point at each other with it
const FRAMES = new Map(); // decoded frames by key, the newest last
const VIEWS = new Map(); // what the reader set, by view: it outlives a rerun of the page
const KEPT_FRAMES = 6;
const LEAST_ZOOM = 0.2;
const MOST_ZOOM = 24;
const TONES = { model: "#35C2B0", reader: "#E9B44C", candidate: "#C792EA", landmark: "#9CCC65", lit: "#FFE45C", caliper: "#7FD1FF" };

export default function ({ data, parentElement }) {
  const stop = new AbortController();
  const view = viewOf(data);
  const page = build(data, view, parentElement.querySelector(".viewer"));
  const state = { data, view, page, frame: null, heatmap: null, vessels: null, lit: new Set(), pinned: new Set(data.pinned), drag: null };
  listen(state, stop.signal);
  load(state);
  return () => stop.abort();
}

function viewOf(data) {
  if (!VIEWS.has(data.view)) {
    const first = data.presets[0];
    VIEWS.set(data.view, {
      center: first.center, width: first.width, isCurve: first.is_curve, zoom: 1, x: 0, y: 0, tool: "window",
      calipers: [], shown: { boxes: true, outlines: true, mask: false, names: true, vessels: true },
    });
  }
  return VIEWS.get(data.view);
}

// --- the page -------------------------------------------------------------------------------------------------------

function make(parent, tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

function button(parent, text, pressed, title) {
  const element = make(parent, "button", "tool", text);
  element.type = "button";
  element.title = title || "";
  element.setAttribute("aria-pressed", String(pressed));
  return element;
}

function slider(parent, name, [low, high], value) {
  const label = make(parent, "label", "slide");
  make(label, "span", "name", name);
  const input = make(label, "input", "range");
  Object.assign(input, { type: "range", min: low, max: high, step: Math.max((high - low) / 1000, 1e-6), value });
  const number = make(label, "input", "number");
  Object.assign(number, { type: "number", step: "any", value: round(value) });
  return { input, number };
}

function build(data, view, root) {
  root.replaceChildren();
  const presets = make(root, "div", "row");
  presets.hidden = data.is_colour;
  const page = { presets: data.presets.map((one) => [one, button(presets, one.label, false)]) };
  const tools = make(root, "div", "row");
  page.tools = ["window", "pan", "measure"].map((name) => {
    const element = button(tools, data.labels[name], view.tool === name, name === "measure" ? data.caliper.note : "");
    element.disabled = name === "measure" && data.caliper.spacing_mm === null;
    return [name, element];
  });
  page.zoom = ["+", "−"].map((sign) => button(tools, sign, false, data.labels[sign === "+" ? "closer" : "further"]));
  page.fit = button(tools, data.labels.fit, false);
  page.clear = button(tools, data.labels.clear, false);
  const overlays = make(root, "div", "row");
  const known = Object.keys(view.shown).filter((name) => name !== "vessels" || data.vessels);
  page.overlays = known.map((name) => [name, button(overlays, data.labels[name], view.shown[name])]);
  overlays.hidden = data.regions.length === 0 && !data.vessels;
  const stage = make(root, "div", "stage");
  page.canvas = make(stage, "canvas", "image");
  page.canvas.tabIndex = 0;
  page.canvas.setAttribute("role", "img");
  page.canvas.setAttribute("aria-label", data.labels.image);
  page.status = make(stage, "div", "status");
  const slides = make(root, "div", "row slides");
  slides.hidden = data.is_colour;
  page.center = slider(slides, data.labels.level, data.range.center, view.center);
  page.width = slider(slides, data.labels.width, data.range.width, view.width);
  make(root, "div", "note", data.caliper.note);
  if (data.reduced_by > 1) make(root, "div", "note", data.labels.reduced);
  if (data.heatmap) make(root, "div", "note", data.labels.heatmap_note);
  return page;
}

// --- the frame ------------------------------------------------------------------------------------------------------

async function bitmapOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const blob = new Blob([bytes], { type: "image/png" });
  return createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
}

async function load(state) {
  const { data } = state;
  if (!FRAMES.has(data.frame_key)) {
    const bitmap = await bitmapOf(data.png);
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const rgba = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
    const codes = new Uint16Array(bitmap.width * bitmap.height);
    for (let i = 0; i < codes.length; i++) codes[i] = 256 * rgba[4 * i] + rgba[4 * i + 1];
    FRAMES.set(data.frame_key, { codes, canvas, context });
    if (FRAMES.size > KEPT_FRAMES) FRAMES.delete(FRAMES.keys().next().value);
  }
  state.frame = FRAMES.get(data.frame_key);
  state.heatmap = data.heatmap ? await bitmapOf(data.heatmap) : null;
  state.vessels = data.vessels ? await bitmapOf(data.vessels.png) : null;
  shade(state);
}

function shadeOf(code, data, view) {
  const value = data.low + data.step * code;
  let shade;
  if (view.isCurve && data.curve) {
    shade = data.curve[Math.round((code / 65535) * (data.curve.length - 1))];
  } else {
    // PS3.3 C.11.2.1.2.1
    const width = Math.max(view.width - 1, 1e-9);
    shade = 255 * Math.min(Math.max((value - (view.center - 0.5)) / width + 0.5, 0), 1);
  }
  return Math.round(data.is_inverted ? 255 - shade : shade);
}

function shade(state) {
  const { data, view, frame } = state;
  if (!frame) return;
  if (data.is_colour) {
    draw(state); // windows are for grey (PS3.3 C.11.2)
    return;
  }
  const table = new Uint32Array(65536);
  for (let code = 0; code < 65536; code++) {
    const grey = shadeOf(code, data, view);
    table[code] = (0xff000000 | (grey << 16) | (grey << 8) | grey) >>> 0;
  }
  const picture = frame.context.createImageData(frame.canvas.width, frame.canvas.height);
  const pixels = new Uint32Array(picture.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = table[frame.codes[i]];
  frame.context.putImageData(picture, 0, 0);
  draw(state);
}

// Scale and offset that put the stored frame on the canvas; pixels are not square where the spacing is not.
function placed({ data, view, page }) {
  const { width, height } = page.canvas;
  const tall = data.caliper.aspect;
  const fit = Math.min(width / data.columns, height / (data.rows * tall));
  const scale = fit * view.zoom;
  const x = width / 2 - (data.columns / 2 - view.x) * scale;
  const y = height / 2 - (data.rows / 2 - view.y) * scale * tall;
  return { scaleX: scale, scaleY: scale * tall, x, y };
}

function draw(state) {
  const { data, view, page, frame } = state;
  const canvas = page.canvas;
  const ratio = window.devicePixelRatio || 1;
  const size = Math.round(canvas.clientWidth * ratio);
  const height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== size || canvas.height !== height) Object.assign(canvas, { width: size, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (!frame) return;
  const place = placed(state);
  const picture = state.heatmap || frame.canvas;
  context.imageSmoothingEnabled = view.zoom < 4;
  // The last blocks of a reduced frame may reach beyond it.
  const [wide, tall] = state.heatmap
    ? [data.columns, data.rows]
    : [frame.canvas.width * data.reduced_by, frame.canvas.height * data.reduced_by];
  context.drawImage(picture, place.x, place.y, wide * place.scaleX, tall * place.scaleY);
  if (state.vessels && view.shown.vessels) drawVessels(state, context, place);
  for (const region of data.regions) drawRegion(state, context, place, region, ratio);
  for (const caliper of view.calipers) {
    if (caliper.frame === data.frame_key) drawCaliper(state, context, place, caliper, ratio);
  }
  say(state);
}

function drawRegion(state, context, place, region, ratio) {
  const { shown } = state.view;
  const isLit = state.lit.has(region.finding_id) || state.pinned.has(region.finding_id);
  const points = region.points.map(([x, y]) => [place.x + x * place.scaleX, place.y + y * place.scaleY]);
  const [left, top, right, bottom] = boxOf(points);
  context.strokeStyle = context.fillStyle = isLit ? TONES.lit : TONES[region.tone];
  context.lineWidth = (isLit ? 3 : 1.5) * ratio;
  context.setLineDash(region.presence === "uncertain" ? [6 * ratio, 4 * ratio] : []);
  if (region.shape === "point") {
    if (!(shown.boxes || shown.outlines || isLit)) return;
    context.beginPath();
    context.arc(left, top, 7 * ratio, 0, 2 * Math.PI);
    context.stroke();
  } else {
    context.beginPath();
    points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
    if (shown.mask) {
      context.globalAlpha = 0.3;
      context.fill();
      context.globalAlpha = 1;
    }
    if (shown.outlines || isLit) context.stroke();
    if (shown.boxes) context.strokeRect(left, top, right - left, bottom - top);
  }
  context.setLineDash([]);
  if (shown.names || isLit) write(context, region.label, left, top - 5 * ratio, ratio);
}

function drawVessels({ data, vessels }, context, place) {
  const { left, top, right, bottom } = data.vessels;
  context.globalAlpha = 0.75;
  context.drawImage(vessels, place.x + left * place.scaleX, place.y + top * place.scaleY, (right - left) * place.scaleX, (bottom - top) * place.scaleY);
  context.globalAlpha = 1;
}

function drawCaliper({ data }, context, place, caliper, ratio) {
  const ends = caliper.ends.map(([x, y]) => [place.x + x * place.scaleX, place.y + y * place.scaleY]);
  context.strokeStyle = context.fillStyle = TONES.caliper;
  context.lineWidth = 1.5 * ratio;
  context.beginPath();
  context.moveTo(...ends[0]);
  context.lineTo(...ends[1]);
  context.stroke();
  for (const [x, y] of ends) context.fillRect(x - 2 * ratio, y - 2 * ratio, 4 * ratio, 4 * ratio);
  write(context, `${lengthMm(caliper.ends, data.caliper.spacing_mm).toFixed(1)} mm`, ends[1][0] + 6 * ratio, ends[1][1], ratio);
}

function write(context, text, x, y, ratio) {
  context.font = `${12 * ratio}px sans-serif`;
  context.lineWidth = 3 * ratio;
  const colour = context.strokeStyle;
  context.strokeStyle = "rgba(0,0,0,.85)";
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
  context.strokeStyle = colour;
}

// --- what the reader does -------------------------------------------------------------------------------------------

function listen(state, signal) {
  const { page, view, data } = state;
  const on = (target, name, act, options = {}) => target.addEventListener(name, act, { signal, ...options });
  for (const [preset, element] of page.presets) on(element, "click", () => setWindow(state, preset.center, preset.width, preset.is_curve));
  for (const [name, element] of page.tools) on(element, "click", () => { view.tool = name; press(state); });
  for (const [name, element] of page.overlays) on(element, "click", () => { view.shown[name] = !view.shown[name]; press(state); draw(state); });
  page.zoom.forEach((element, i) => on(element, "click", () => zoom(state, i ? 1 / 1.4 : 1.4)));
  on(page.fit, "click", () => { Object.assign(view, { zoom: 1, x: 0, y: 0 }); draw(state); });
  on(page.clear, "click", () => { view.calipers = []; draw(state); });
  for (const { input, number } of [page.center, page.width]) {
    on(input, "input", () => setWindow(state, +page.center.input.value, +page.width.input.value, false));
    on(number, "change", () => setWindow(state, +page.center.number.value, +page.width.number.value, false));
  }
  const canvas = page.canvas;
  on(canvas, "pointerdown", (event) => down(state, event));
  on(canvas, "pointermove", (event) => moved(state, event));
  on(canvas, "pointerup", (event) => up(state, event));
  on(canvas, "pointerleave", () => light(state, [], false));
  on(canvas, "contextmenu", (event) => event.preventDefault());
  on(canvas, "wheel", (event) => { event.preventDefault(); zoom(state, event.deltaY < 0 ? 1.15 : 1 / 1.15, at(state, event)); }, { passive: false });
  on(canvas, "keydown", (event) => key(state, event));
  on(window, HIGHLIGHT, ({ detail }) => {
    if (detail.isPinned) state.pinned = new Set(detail.ids);
    state.lit = new Set(detail.ids);
    draw(state);
  });
  const resized = new ResizeObserver(() => draw(state));
  resized.observe(canvas);
  signal.addEventListener("abort", () => resized.disconnect());
  press(state);
  setWindow(state, view.center, view.width, view.isCurve);
  page.status.textContent = data.labels.loading;
}

function press({ page, view }) {
  for (const [name, element] of page.tools) element.setAttribute("aria-pressed", String(view.tool === name));
  for (const [name, element] of page.overlays) element.setAttribute("aria-pressed", String(view.shown[name]));
  page.canvas.dataset.tool = view.tool;
}

function setWindow(state, center, width, isCurve) {
  const { view, page } = state;
  if (!Number.isFinite(center) || !Number.isFinite(width)) return;
  Object.assign(view, { center, width: Math.max(width, 1), isCurve: Boolean(isCurve) });
  for (const [slide, value] of [[page.center, view.center], [page.width, view.width]]) {
    slide.input.value = value;
    slide.number.value = round(value);
  }
  for (const [preset, element] of page.presets) {
    const isOn = preset.center === center && preset.width === width && Boolean(preset.is_curve) === view.isCurve;
    element.setAttribute("aria-pressed", String(isOn));
  }
  shade(state);
}

// Where the pointer is, in the stored frame.
function at(state, event) {
  const place = placed(state);
  const ratio = state.page.canvas.width / state.page.canvas.clientWidth;
  return [(event.offsetX * ratio - place.x) / place.scaleX, (event.offsetY * ratio - place.y) / place.scaleY];
}

function zoom(state, factor, around = [state.data.columns / 2 - state.view.x, state.data.rows / 2 - state.view.y]) {
  const { view, data } = state;
  const next = Math.min(Math.max(view.zoom * factor, LEAST_ZOOM), MOST_ZOOM);
  const keep = view.zoom / next; // the point under the pointer stays where it is
  const middle = [data.columns / 2 - view.x, data.rows / 2 - view.y];
  const moved = middle.map((m, i) => around[i] + (m - around[i]) * keep);
  Object.assign(view, { zoom: next, x: data.columns / 2 - moved[0], y: data.rows / 2 - moved[1] });
  draw(state);
}

function key(state, event) {
  const step = 20 / state.view.zoom;
  const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  if (moves[event.key]) {
    state.view.x += moves[event.key][0];
    state.view.y += moves[event.key][1];
    draw(state);
  } else if (event.key === "+" || event.key === "-") zoom(state, event.key === "+" ? 1.4 : 1 / 1.4);
  else if (event.key === "0") state.page.fit.click();
  else return;
  event.preventDefault();
}

function down(state, event) {
  const { view, page } = state;
  page.canvas.setPointerCapture(event.pointerId);
  const tool = event.button !== 0 || event.shiftKey ? "pan" : view.tool;
  const point = at(state, event);
  state.drag = { tool, from: [event.clientX, event.clientY], view: { ...view }, isMoved: false };
  if (tool === "measure") {
    state.drag.caliper = { frame: state.data.frame_key, ends: [point, point] };
    view.calipers.push(state.drag.caliper);
  }
}

function moved(state, event) {
  const { drag, view, data } = state;
  if (!drag) {
    light(state, found(state, at(state, event)), false);
    say(state, at(state, event));
    return;
  }
  const [dx, dy] = [event.clientX - drag.from[0], event.clientY - drag.from[1]];
  drag.isMoved = drag.isMoved || Math.hypot(dx, dy) > 3;
  if (!drag.isMoved) return;
  if (drag.tool === "pan") {
    const place = placed(state);
    const ratio = state.page.canvas.width / state.page.canvas.clientWidth;
    view.x = drag.view.x + (dx * ratio) / place.scaleX;
    view.y = drag.view.y + (dy * ratio) / place.scaleY;
    draw(state);
  } else if (drag.tool === "measure") {
    drag.caliper.ends[1] = at(state, event);
    draw(state);
  } else {
    const unit = Math.max(drag.view.width, (data.range.center[1] - data.range.center[0]) / 50) / 250;
    setWindow(state, drag.view.center + dy * unit, drag.view.width + dx * unit, false);
  }
}

function up(state, event) {
  const { drag, view } = state;
  state.drag = null;
  if (!drag || drag.isMoved) return;
  if (drag.caliper) view.calipers.pop();
  light(state, found(state, at(state, event)), true);
  draw(state);
}

// --- findings -------------------------------------------------------------------------------------------------------

function found({ data }, [x, y]) {
  const hits = data.regions.filter(({ points, shape }) => {
    const [left, top, right, bottom] = boxOf(points);
    const near = shape === "point" ? Math.max(data.columns, data.rows) / 40 : 0;
    return x >= left - near && x <= right + near && y >= top - near && y <= bottom + near;
  });
  return [...new Set(hits.map((region) => region.finding_id))];
}

function light(state, ids, isPinned) {
  if (!isPinned && ids.length === state.lit.size && ids.every((id) => state.lit.has(id))) return;
  window.dispatchEvent(new CustomEvent(HIGHLIGHT, { detail: { ids, isPinned } }));
}

function boxOf(points) {
  const [columns, rows] = [points.map((p) => p[0]), points.map((p) => p[1])];
  return [Math.min(...columns), Math.min(...rows), Math.max(...columns), Math.max(...rows)];
}

function lengthMm([[x1, y1], [x2, y2]], [rowMm, columnMm]) {
  return Math.hypot((x2 - x1) * columnMm, (y2 - y1) * rowMm);
}

function say(state, point) {
  const { data, view, page, frame } = state;
  const parts = [`${data.labels.level} ${round(view.center)} · ${data.labels.width} ${round(view.width)}`, `${Math.round(view.zoom * 100)} %`];
  if (point && frame) {
    const [column, row] = point.map(Math.floor);
    if (column >= 0 && row >= 0 && column < data.columns && row < data.rows) {
      const i = Math.floor(row / data.reduced_by) * frame.canvas.width + Math.floor(column / data.reduced_by);
      const value = data.is_colour ? "" : ` ${round(data.low + data.step * frame.codes[i])} ${data.units}`;
      parts.push(`(${column + 1}, ${row + 1})${value}`);
    }
  }
  page.status.textContent = parts.join("   ");
}

function round(value) {
  return Math.abs(value) >= 20 ? Math.round(value) : Number(value.toPrecision(3));
}
