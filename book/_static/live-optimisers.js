// Four optimisers racing on a surface, from where the reader puts them, each at the best of some rates.
// The build runs this file in Node for the still picture, the page runs it for the reader.
"use strict";
(() => {
const [WIDTH, HEIGHT, UNIT] = [480, 320, 120]; // pixels; the picture shows x from -2 to 2, y from -4/3 to 4/3
const STEPS = 60;
const RATES = Array.from({ length: 13 }, (_, k) => 0.001 * 10 ** (k / 4)); // 0.001 to 1
const LEVELS = [0.01, 0.05, 0.15, 0.4, 0.9, 1.8, 3.2, 5.5, 9, 14, 21];

/** Each surface: its height and its gradient at (x, y), where the race starts, its lowest height. */
const SURFACES = {
  ravine: {
    name: "a ravine along an axis",
    height: (x, y) => 0.04 * x * x + 4 * y * y,
    gradient: (x, y) => [0.08 * x, 8 * y],
    start: [-1.7, 0.8], lowest: 0,
  },
  slanted: {
    name: "the same ravine, slanted",
    height: (x, y) => 0.02 * (x + y) ** 2 + 2 * (x - y) ** 2,
    gradient: (x, y) => [0.04 * (x + y) + 4 * (x - y), 0.04 * (x + y) - 4 * (x - y)],
    start: [-1.6, -0.6], lowest: 0,
  },
  bend: {
    name: "a bend",
    height: (x, y) => 0.25 * (1 - x) ** 2 + 3 * (y - 0.4 * x * x) ** 2,
    gradient: (x, y) => [-0.5 * (1 - x) - 4.8 * x * (y - 0.4 * x * x), 6 * (y - 0.4 * x * x)],
    start: [-1.6, -0.6], lowest: 0,
  },
  saddle: {
    name: "a saddle",
    height: (x, y) => x * x - 0.5 * y * y + 0.2 * y ** 4 + 0.3125,
    gradient: (x, y) => [2 * x, -y + 0.8 * y ** 3],
    start: [-1.5, 0.01], lowest: 0,
  },
};

/** Each rule: from gradient g, memory m, step t (from 1) and rate to the step taken, one number at a time. */
const RULES = {
  SGD: (g, m, t, rate) => -rate * g,
  momentum: (g, m, t, rate) => { m.v = t > 1 ? 0.9 * m.v + g : g; return -rate * m.v; },
  RMSProp: (g, m, t, rate) => { m.s = 0.99 * (m.s ?? 0) + 0.01 * g * g; return -rate * g / (Math.sqrt(m.s) + 1e-8); },
  Adam: (g, m, t, rate) => {
    m.v = 0.9 * (m.v ?? 0) + 0.1 * g;
    m.s = 0.999 * (m.s ?? 0) + 0.001 * g * g;
    return -rate * (m.v / (1 - 0.9 ** t)) / (Math.sqrt(m.s / (1 - 0.999 ** t)) + 1e-8);
  },
};

/** The path of a rule from a start: `steps` + 1 places. */
function path(rule, surface, start, rate, steps) {
  const { gradient } = SURFACES[surface];
  const memory = start.map(() => ({}));
  const places = [start];
  for (let t = 1; t <= steps; t++) {
    const place = places.at(-1);
    const slope = gradient(...place);
    places.push(place.map((x, k) => x + RULES[rule](slope[k], memory[k], t, rate)));
  }
  return places;
}

/** Where each rule gets to at that one of the rates which brings it lowest. */
function race(surface, start, steps = STEPS) {
  const { height, lowest } = SURFACES[surface];
  return Object.keys(RULES).map((rule) => {
    const tried = RATES.map((rate) => ({ rule, rate, places: path(rule, surface, start, rate, steps) }));
    const left = ({ places }) => { const h = height(...places.at(-1)) - lowest; return Number.isFinite(h) ? h : Infinity; };
    return tried.reduce((best, other) => (left(other) < left(best) ? other : best));
  });
}

const across = (x) => Math.round(10 * (WIDTH / 2 + UNIT * x)) / 10;
const down = (y) => Math.round(10 * (HEIGHT / 2 - UNIT * y)) / 10;

/** The contour lines of a surface: where squares of a grid are crossed by a level. */
function contours({ height }) {
  const [columns, rows] = [60, 40];
  const x = (i) => (i / columns - 0.5) * WIDTH / UNIT;
  const y = (j) => (0.5 - j / rows) * HEIGHT / UNIT;
  const parts = [];
  for (const level of LEVELS) {
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < rows; j++) {
        const corners = [[x(i), y(j)], [x(i + 1), y(j)], [x(i + 1), y(j + 1)], [x(i), y(j + 1)]];
        const above = corners.map(([a, b]) => height(a, b) - level);
        const crossed = [];
        corners.forEach(([a, b], k) => {
          const n = (k + 1) % 4;
          if (above[k] * above[n] >= 0) return;
          const part = above[k] / (above[k] - above[n]);
          crossed.push([across(a + part * (corners[n][0] - a)), down(b + part * (corners[n][1] - b))]);
        });
        for (let k = 0; k + 1 < crossed.length; k += 2) parts.push(`M${crossed[k]}L${crossed[k + 1]}`);
      }
    }
  }
  return `<path class="contour" d="${parts.join("")}"/>`;
}

const drawn = {}; // a surface's contour lines are drawn once

/** The picture after `shown` steps of a race. */
function picture(surface, start, runs, shown, cursor = null) {
  drawn[surface] ??= contours(SURFACES[surface]);
  const parts = [`<rect class="ground" width="${WIDTH}" height="${HEIGHT}"/>`, drawn[surface]];
  runs.forEach(({ places }, k) => {
    const seen = places.slice(0, shown + 1).filter(([x, y]) => Math.abs(x) < 9 && Math.abs(y) < 9);
    const points = seen.map(([x, y]) => `${across(x)},${down(y)}`);
    const [left, top] = points.at(-1).split(",");
    parts.push(`<polyline class="run run-${k}" points="${points.join(" ")}"/><circle class="end run-${k}" cx="${left}" cy="${top}" r="5"/>`);
  });
  runs.forEach(({ rule }, k) => parts.push(`<text class="run-name run-${k}" x="12" y="${22 + 20 * k}">${rule}</text>`));
  parts.push(`<circle class="ring" cx="${across(start[0])}" cy="${down(start[1])}" r="4"/>`);
  if (cursor) {
    const [left, top] = [across(cursor[0]), down(cursor[1])];
    parts.push(`<path class="cursor" d="M${left - 9} ${top}h18M${left} ${top - 9}v18"/>`);
  }
  return parts.join("");
}

const short = (x) => (x < 0.0001 ? "under 0.0001" : x < 1000 ? Number(x.toPrecision(2)).toString() : "far too much");

/** What is said below the picture. */
function words(surface, runs, shown) {
  const { name, height, lowest } = SURFACES[surface];
  const left = runs.map(({ rule, rate, places }) => `${rule} ${short(height(...places[shown]) - lowest)} (rate ${short(rate)})`);
  return `On ${name}, ${shown} steps: height left ${left.join(", ")}.`;
}

/** What a page shows before, and without, any script: the slanted ravine, run to its end. */
function still() {
  const { start } = SURFACES.slanted;
  return { width: WIDTH, height: HEIGHT, svg: picture("slanted", start, race("slanted", start), STEPS) };
}

function mount(figure) {
  const svg = figure.querySelector("svg");
  const output = figure.querySelector("output");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const button = (name) => figure.querySelector(`[data-do="${name}"]`);
  let surface = "slanted";
  let start, runs, shown;
  let cursor = null;
  let timer = 0;
  const show = () => {
    svg.innerHTML = picture(surface, start, runs, shown, cursor);
    output.textContent = words(surface, runs, shown);
    button("step").disabled = button("run").disabled = shown >= STEPS;
  };
  const stop = () => { clearInterval(timer); timer = 0; button("run").textContent = "Run"; };
  const place = (from, at = 0) => { stop(); start = from; runs = race(surface, start); shown = at; show(); };
  const on = (name) => { surface = name; place(SURFACES[name].start); };
  const tick = () => { shown += 1; if (shown >= STEPS) stop(); show(); };
  const actions = {
    step: () => { stop(); tick(); },
    run: () => {
      if (timer) return stop();
      if (calm) { shown = STEPS; return show(); }
      button("run").textContent = "Stop";
      timer = setInterval(tick, 60);
      return tick();
    },
    again: () => place(start),
    ravine: () => on("ravine"),
    slanted: () => on("slanted"),
    bend: () => on("bend"),
    saddle: () => on("saddle"),
  };
  for (const name of Object.keys(actions)) button(name).onclick = actions[name];
  svg.onpointerdown = (event) => {
    const box = svg.getBoundingClientRect();
    cursor = null;
    place([((event.clientX - box.left) / box.width - 0.5) * WIDTH / UNIT, (0.5 - (event.clientY - box.top) / box.height) * HEIGHT / UNIT]);
  };
  const moves = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, 0.05], ArrowDown: [0, -0.05] };
  const ends = [WIDTH / 2 / UNIT, HEIGHT / 2 / UNIT];
  svg.onkeydown = (event) => {
    if (moves[event.key]) {
      cursor = (cursor || start).map((x, k) => Math.max(-ends[k], Math.min(ends[k], x + moves[event.key][k])));
      show();
    } else if (event.key === "Enter" || event.key === " ") {
      if (cursor) { const from = cursor; cursor = null; place(from); }
    } else return;
    event.preventDefault();
  };
  svg.onblur = () => { cursor = null; show(); };
  place(SURFACES[surface].start, STEPS);
}

if (typeof module === "object") module.exports = { path, race, words, still, SURFACES, RULES, RATES, STEPS };
else for (const figure of document.querySelectorAll('[data-live="optimisers"]')) mount(figure);
})();
