// A kernel that the reader types, sliding over a picture that the reader draws.
// The build runs this file in Node for the still picture, the page runs it for the reader.
"use strict";
(() => {
const SIDE = 28, SCALE = 7, GAP = 28;
const OUT = SIDE - 2; // of the feature map: no padding
const WIDTH = SCALE * (SIDE + OUT) + GAP, HEIGHT = SCALE * SIDE;
const KERNELS = {
  same: [0, 0, 0, 0, 1, 0, 0, 0, 0],
  blur: [1, 1, 1, 1, 1, 1, 1, 1, 1].map((w) => w / 9),
  across: [-1, 0, 1, -1, 0, 1, -1, 0, 1],
  down: [-1, -1, -1, 0, 0, 0, 1, 1, 1],
  point: [-1, -1, -1, -1, 8, -1, -1, -1, -1],
};

/** The picture at the beginning: a disc, a frame, and slanted stripes, with values from 0 to 1. */
function drawing() {
  return [...Array(SIDE * SIDE)].map((_, k) => {
    const [row, column] = [Math.floor(k / SIDE), k % SIDE];
    if (Math.hypot(row - 8, column - 8) < 5.6) return 1;
    const [up, left] = [row - 4, column - 16];
    if (up >= 0 && up < 10 && left >= 0 && left < 10) return up < 2 || up > 7 || left < 2 || left > 7 ? 0.8 : 0.15;
    return row > 16 && row < 26 && column > 2 && column < 26 && (row + column) % 6 < 2 ? 0.9 : 0.05;
  });
}

/** Slide the kernel (9 numbers, row by row) over a square picture; return the feature map, row by row. */
function correlate(picture, kernel, side = SIDE) {
  const out = side - 2;
  return [...Array(out * out)].map((_, k) => {
    const [p, q] = [Math.floor(k / out), k % out];
    return kernel.reduce((sum, w, at) => sum + w * picture[(p + Math.floor(at / 3)) * side + q + (at % 3)], 0);
  });
}

/** A picture as a data address: 8-bit BMP, one colour for each of 256 levels. */
function bitmap(levels, side, colors) {
  const stride = 4 * Math.ceil(side / 4), head = 54 + 1024;
  const bytes = new Uint8Array(head + stride * side);
  const view = new DataView(bytes.buffer);
  bytes.set([66, 77]);
  view.setUint32(2, bytes.length, true);
  view.setUint32(10, head, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, side, true);
  view.setInt32(22, -side, true); // the first row is the upper one
  view.setUint16(26, 1, true);
  view.setUint16(28, 8, true);
  view.setUint32(46, 256, true);
  for (let level = 0; level < 256; level++) bytes.set([...colors(level)].reverse(), 54 + 4 * level);
  levels.forEach((level, k) => { bytes[head + stride * Math.floor(k / side) + (k % side)] = level; });
  return `data:image/bmp;base64,${btoa(String.fromCharCode(...bytes))}`;
}

const clip = (x) => Math.max(0, Math.min(255, Math.round(x)));
const grey = (level) => [level, level, level];
/** Blue for negative, white for zero, orange for positive answers. */
function answer(level) {
  const t = (level - 128) / 127;
  const [far, near] = [t < 0 ? [10, 103, 173] : [196, 86, 11], [252, 252, 252]];
  return near.map((x, k) => clip(x + Math.min(1, Math.abs(t)) * (far[k] - x)));
}

/** The two pictures, and the window with the place that it answers, as the inside of an SVG. */
function picture(input, map, spot = null) {
  const reach = Math.max(...map.map(Math.abs), 1e-9);
  const left = bitmap(input.map((x) => clip(255 * x)), SIDE, grey);
  const right = bitmap(map.map((x) => clip(128 + (127 * x) / reach)), OUT, answer);
  const x = SCALE * SIDE + GAP;
  const parts = [
    `<image href="${left}" width="${SCALE * SIDE}" height="${SCALE * SIDE}" preserveAspectRatio="none"/>`,
    `<image href="${right}" x="${x}" y="${SCALE}" width="${SCALE * OUT}" height="${SCALE * OUT}" preserveAspectRatio="none"/>`,
  ];
  if (spot) {
    const [p, q] = spot;
    parts.push(`<rect class="window" x="${SCALE * q}" y="${SCALE * p}" width="${3 * SCALE}" height="${3 * SCALE}"/>`,
      `<rect class="window" x="${x + SCALE * q}" y="${SCALE * (p + 1)}" width="${SCALE}" height="${SCALE}"/>`);
  }
  return parts.join("");
}

const short = (x) => String(Number(x.toFixed(2))).replace("-", "−");

/** What is said below: the sum at a place, or the range of the map. */
function words(input, kernel, map, spot) {
  if (!spot) return `The feature map goes from ${short(Math.min(...map))} to ${short(Math.max(...map))}.`;
  const [p, q] = spot;
  const terms = kernel.flatMap((w, at) => (w === 0 ? [] : [`${short(w)} × ${short(input[(p + Math.floor(at / 3)) * SIDE + q + (at % 3)])}`]));
  return `Row ${p + 1}, column ${q + 1}: ${terms.join(" + ") || "no weight"} = ${short(map[p * OUT + q])}`;
}

function still() {
  const input = drawing();
  return { width: WIDTH, height: HEIGHT, svg: picture(input, correlate(input, KERNELS.across)) };
}

function mount(figure) {
  const svg = figure.querySelector("svg"), output = figure.querySelector("output");
  const button = (name) => figure.querySelector(`[data-do="${name}"]`);
  const grid = document.createElement("div");
  grid.className = "live-inputs live-kernel js-only";
  grid.innerHTML = KERNELS.same.map((_, k) => `<input type="number" step="any" aria-label="weight in row ${Math.floor(k / 3) + 1}, column ${(k % 3) + 1}">`).join("");
  svg.after(grid);
  const fields = [...grid.children];
  let input = drawing(), kernel = KERNELS.across, spot = null, pen = 0;
  const show = () => {
    const map = correlate(input, kernel);
    svg.innerHTML = picture(input, map, spot);
    output.textContent = words(input, kernel, map, spot);
  };
  const choose = (name) => {
    kernel = [...KERNELS[name]];
    fields.forEach((field, k) => { field.value = Number(kernel[k].toFixed(3)); });
    show();
  };
  fields.forEach((field, k) => { field.oninput = () => { kernel[k] = Number(field.value) || 0; show(); }; });
  const actions = {
    same: () => choose("same"),
    blur: () => choose("blur"),
    across: () => choose("across"),
    down: () => choose("down"),
    point: () => choose("point"),
    empty: () => { input = input.map(() => 0); spot = null; show(); },
    drawing: () => { input = drawing(); spot = null; show(); },
  };
  for (const name of Object.keys(actions)) button(name).onclick = actions[name];
  const within = (x, most) => Math.max(0, Math.min(most, x));
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * WIDTH / SCALE, ((event.clientY - box.top) / box.height) * HEIGHT / SCALE];
  };
  const look = (event) => {
    const [x, y] = at(event);
    const right = x > SIDE + GAP / SCALE / 2;
    const column = right ? x - SIDE - GAP / SCALE : x - 1;
    spot = [within(Math.floor(y - 1), OUT - 1), within(Math.floor(column), OUT - 1)];
    if (pen && !right) {
      const [row, place] = [Math.floor(y), Math.floor(x)];
      if (row >= 0 && row < SIDE && place >= 0 && place < SIDE) input[row * SIDE + place] = pen > 0 ? 1 : 0;
    }
    show();
  };
  svg.onpointerdown = (event) => {
    const [x, y] = at(event);
    if (x < SIDE) {
      pen = input[within(Math.floor(y), SIDE - 1) * SIDE + within(Math.floor(x), SIDE - 1)] > 0.5 ? -1 : 1;
      svg.setPointerCapture(event.pointerId);
    }
    look(event);
  };
  svg.onpointermove = look;
  svg.onpointerup = svg.onpointercancel = () => { pen = 0; };
  svg.onpointerleave = svg.onblur = () => { spot = null; show(); };
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  svg.onkeydown = (event) => {
    if (moves[event.key]) spot = (spot || [12, 12]).map((x, k) => within(x + moves[event.key][k], OUT - 1));
    else if ((event.key === "Enter" || event.key === " ") && spot) {
      const k = (spot[0] + 1) * SIDE + spot[1] + 1; // the middle of the window
      input[k] = input[k] > 0.5 ? 0 : 1;
    } else return;
    show();
    event.preventDefault();
  };
  choose("across");
}

if (typeof module === "object") module.exports = { correlate, drawing, words, still, KERNELS };
else for (const figure of document.querySelectorAll('[data-live="convolution"]')) mount(figure);
})();
