// The perceptron, learning points that the reader places. The build runs this file in Node for the
// still picture, the page runs it for the reader; the rule is that of the chapter on the perceptron.
"use strict";
(() => {
const SIZE = 320;
const PRESETS = {
  groups: [[-0.01, -0.56, 1], [-0.19, 0.56, 1], [-0.66, 0.78, 1], [-0.36, -0.18, 1], [0.51, 0.31, -1], [0.54, -0.43, -1], [0.14, 0.66, 1],
    [0.5, -0.82, -1], [-0.08, 0.28, 1], [-0.24, -0.74, 1], [-0.62, 0.05, 1], [0.74, 0.62, -1], [0.39, -0.18, -1], [0.82, 0.04, -1]],
  xor: [[-0.6, -0.6, -1], [0.6, 0.6, -1], [-0.6, 0.6, 1], [0.6, -0.6, 1]],
  empty: [],
};
const NAMES = { 1: "blue square", [-1]: "orange circle" };

/** The state of a perceptron that has seen nothing: weights of x1, x2 and 1, and what it did so far. */
function start(points) {
  return { points, weights: [0, 0, 0], next: 0, since: 0, mistakes: 0, seen: 0, mistaken: -1 };
}

/** Return w1 x1 + w2 x2 + w3 for a point. */
const score = ([w1, w2, w3], [x1, x2]) => w1 * x1 + w2 * x2 + w3;

/** Has every point been looked at, without a mistake, since the last change of the weights? */
const done = (state) => state.points.length > 0 && state.since >= state.points.length;

/** Look at the next point; if it is on the wrong side, or on the line, add it (times its class). */
function look(state) {
  const { points, weights, next } = state;
  const [x1, x2, y] = points[next];
  const wrong = y * score(weights, points[next]) <= 0;
  return {
    ...state,
    weights: wrong ? [weights[0] + y * x1, weights[1] + y * x2, weights[2] + y] : weights,
    mistakes: state.mistakes + wrong,
    mistaken: wrong ? next : -1,
    since: wrong ? 0 : state.since + 1,
    seen: state.seen + 1,
    next: (next + 1) % points.length,
  };
}

/** Look on until the next mistake, the end, or `most` points. */
function step(state, most = Infinity) {
  const last = state.seen + Math.min(most, 2 * state.points.length + 1);
  do state = look(state); while (state.mistaken < 0 && !done(state) && state.seen < last);
  return state;
}

/** Step until nothing is mistaken any more, or until every point was seen `passes` times. */
function learn(points, passes) {
  let state = start(points);
  while (points.length && !done(state) && state.seen < passes * points.length) state = look(state);
  return state;
}

/** What is said below the picture. */
function words(state) {
  const { points, mistakes, seen } = state;
  const wrong = points.filter((point) => point[2] * score(state.weights, point) <= 0).length;
  if (!points.length) return "No points. Press in the square to place some.";
  if (!seen) return `${points.length} points, and weights of zero: nothing is learned yet.`;
  const count = `${mistakes} mistake${mistakes === 1 ? "" : "s"}`;
  if (done(state)) return `${count}, then none: the line is found.`;
  const passes = Math.floor(seen / points.length);
  const long = passes >= 50 ? ` After ${passes} passes it has not stopped; where no line separates the points, it never does.` : "";
  return `${count}; ${wrong} of ${points.length} points on the wrong side.${long}`;
}

const place = (x) => Math.round(10 * (SIZE / 2) * (1 + x)) / 10;

/** The part of the square where the score has the sign of `side`, as the points of a polygon. */
function half(weights, side) {
  const corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]];
  const value = (corner) => side * score(weights, corner);
  const kept = [];
  corners.forEach((corner, k) => {
    const after = corners[(k + 1) % 4];
    const [a, b] = [value(corner), value(after)];
    if (a >= 0) kept.push(corner);
    if (a * b < 0) kept.push(corner.map((x, j) => x + (a / (a - b)) * (after[j] - x)));
  });
  return kept.map(([x, y]) => `${place(x)},${place(-y)}`).join(" ");
}

/** The picture, as what stands inside of an SVG element of SIZE by SIZE. */
function picture({ points, weights, mistaken }, cursor = null) {
  const parts = [`<rect class="ground" width="${SIZE}" height="${SIZE}"/>`];
  if (weights.some(Boolean)) {
    parts.push(`<polygon class="plus" points="${half(weights, 1)}"/>`, `<polygon class="minus" points="${half(weights, -1)}"/>`);
  }
  points.forEach(([x, y, sign], k) => {
    const [left, top] = [place(x), place(-y)];
    if (k === mistaken) parts.push(`<circle class="ring" cx="${left}" cy="${top}" r="13"/>`);
    parts.push(sign > 0
      ? `<rect class="point one" x="${left - 6}" y="${top - 6}" width="12" height="12"/>`
      : `<circle class="point other" cx="${left}" cy="${top}" r="6.5"/>`);
  });
  if (cursor) {
    const [left, top] = [place(cursor[0]), place(-cursor[1])];
    parts.push(`<path class="cursor" d="M${left - 9} ${top}h18M${left} ${top - 9}v18"/>`);
  }
  return parts.join("");
}

/** What a page shows before, and without, any script: learned to its end. */
const still = () => ({ width: SIZE, height: SIZE, svg: picture({ ...learn(PRESETS.groups, 100), mistaken: -1 }) });

function mount(figure) {
  const svg = figure.querySelector("svg");
  const output = figure.querySelector("output");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let state = start(PRESETS.groups);
  let sign = 1;
  let timer = 0;
  let cursor = null;
  const button = (name) => figure.querySelector(`[data-do="${name}"]`);
  const show = () => {
    svg.innerHTML = picture(state, cursor);
    output.textContent = words(state);
    button("step").disabled = button("run").disabled = !state.points.length || done(state);
  };
  const stop = () => { clearInterval(timer); timer = 0; button("run").textContent = "Run"; };
  const restart = (points) => { stop(); state = start(points); show(); };
  const tick = () => { state = step(state); show(); if (done(state)) stop(); };
  const actions = {
    step: () => { stop(); tick(); },
    run: () => {
      if (timer) return stop();
      if (calm) { for (let k = 0; k < 200 && !done(state); k++) state = step(state); return show(); }
      button("run").textContent = "Stop";
      timer = setInterval(tick, 250);
      return tick();
    },
    forget: () => restart(state.points),
    groups: () => restart(PRESETS.groups),
    xor: () => restart(PRESETS.xor),
    empty: () => restart(PRESETS.empty),
    sign: () => { sign = -sign; button("sign").textContent = `Place: ${NAMES[sign]}`; },
  };
  for (const name of Object.keys(actions)) button(name).onclick = actions[name];
  // A point placed on another one takes it away.
  const put = (x, y) => {
    const left = state.points.filter(([a, b]) => Math.hypot(a - x, b - y) > 0.07);
    restart(left.length < state.points.length ? left : [...state.points, [x, y, sign]]);
  };
  svg.onpointerdown = (event) => {
    const box = svg.getBoundingClientRect();
    cursor = null;
    put(2 * (event.clientX - box.left) / box.width - 1, 1 - 2 * (event.clientY - box.top) / box.height);
  };
  const moves = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, 0.05], ArrowDown: [0, -0.05] };
  svg.onkeydown = (event) => {
    if (moves[event.key]) {
      cursor = (cursor || [0, 0]).map((x, k) => Math.max(-0.95, Math.min(0.95, x + moves[event.key][k])));
      show();
    } else if (event.key === "Enter" || event.key === " ") {
      if (cursor) put(...cursor);
    } else return;
    event.preventDefault();
  };
  svg.onblur = () => { cursor = null; show(); };
  show();
}

if (typeof module === "object") module.exports = { start, look, step, learn, words, still, PRESETS };
else for (const figure of document.querySelectorAll('[data-live="perceptron"]')) mount(figure);
})();
