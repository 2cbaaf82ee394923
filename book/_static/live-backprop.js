// Backpropagation on an expression that the reader types: the graph, its values, and the sweep back.
// The build runs this file in Node for the still picture, the page runs it for the reader.
"use strict";
(() => {
const EXAMPLES = {
  example: ["u = a*b; v = b + c; u + u*v", { a: 2, b: 3, c: -1 }],
  neuron: ["tanh(w1*x1 + w2*x2 + b)", { w1: 0.5, x1: 2, w2: -1, x2: 0.5, b: 0.1 }],
  fork: ["x*x*x", { x: 2 }],
  loss: ["p = 1 / (1 + exp(-(w*x + b))); -log(p)", { w: 1, x: -1.5, b: 0.5 }],
};
// each with its value and the local derivative towards every argument
const OPERATIONS = {
  "+": [(a, b) => a + b, () => [1, 1]],
  "-": [(a, b) => a - b, () => [1, -1]],
  "*": [(a, b) => a * b, (a, b) => [b, a]],
  "/": [(a, b) => a / b, (a, b) => [1 / b, -a / (b * b)]],
  "^": [(a, b) => a ** b, (a, b) => [b * a ** (b - 1), 0]], // the power is a number
  neg: [(a) => -a, () => [-1]],
  exp: [Math.exp, (a) => [Math.exp(a)]],
  log: [Math.log, (a) => [1 / a]],
  sin: [Math.sin, (a) => [Math.cos(a)]],
  cos: [Math.cos, (a) => [-Math.sin(a)]],
  tanh: [Math.tanh, (a) => [1 - Math.tanh(a) ** 2]],
  relu: [(a) => Math.max(a, 0), (a) => [a > 0 ? 1 : 0]],
  sqrt: [Math.sqrt, (a) => [0.5 / Math.sqrt(a)]],
};
const FUNCTIONS = Object.keys(OPERATIONS).filter((name) => /^[a-z]/.test(name) && name !== "neg");
const MOST = 24; // nodes that a picture can show

/** Read "u = a*b; u + c" into nodes { op, args, name, number }, each behind its arguments. */
function parse(text) {
  const tokens = [];
  const pattern = /\s*(?:(\d+\.?\d*(?:e[-+]?\d+)?|\.\d+)|([A-Za-z_]\w*)|(\*\*|[-+*/^()=;]))/gy;
  const whole = text.trimEnd().replace(/;+$/, "");
  while (pattern.lastIndex < whole.length) {
    const at = pattern.lastIndex;
    const match = pattern.exec(whole);
    if (!match) throw new Error(`“${whole.slice(at).trim()[0]}” at place ${at + 1} is not understood`);
    tokens.push(match[1] ?? match[2] ?? (match[3] === "**" ? "^" : match[3]));
  }
  const nodes = [];
  const known = new Map(); // names, and numbers
  let next = 0;
  const add = (node) => nodes.push({ args: [], name: "", number: null, ...node }) - 1;
  const expect = (token) => {
    if (tokens[next] !== token) throw new Error(`expected “${token}” ${tokens[next] === undefined ? "at the end" : `before “${tokens[next]}”`}`);
    next += 1;
  };
  const once = (key, node) => {
    if (!known.has(key)) known.set(key, add(node));
    return known.get(key);
  };
  const atom = () => {
    const token = tokens[next];
    if (token === undefined) throw new Error("the expression ends too early");
    next += 1;
    if (token === "(") { const inside = sum(); expect(")"); return inside; }
    if (/^[\d.]/.test(token)) return once(`#${token}`, { op: "number", number: Number(token) });
    if (FUNCTIONS.includes(token)) { expect("("); const inside = sum(); expect(")"); return add({ op: token, args: [inside] }); }
    if (/^[A-Za-z_]/.test(token)) {
      if (tokens[next] === "(") throw new Error(`no function “${token}”; known are ${FUNCTIONS.join(", ")}`);
      return once(token, { op: "variable", name: token });
    }
    throw new Error(`“${token}” stands where a number or a name should`);
  };
  const power = () => {
    const base = atom();
    if (tokens[next] !== "^") return base;
    next += 1;
    const sign = tokens[next] === "-" ? (next += 1, -1) : 1;
    const token = tokens[next];
    if (!/^[\d.]/.test(token ?? "")) throw new Error("a power has to be a number, such as x^2");
    next += 1;
    const number = sign * Number(token);
    return add({ op: "^", args: [base, once(`#${number}`, { op: "number", number })] });
  };
  const signed = () => {
    if (tokens[next] !== "-") return power();
    next += 1;
    return add({ op: "neg", args: [signed()] });
  };
  const joined = (inner, signs) => {
    let left = inner();
    while (signs.includes(tokens[next])) {
      const op = tokens[next];
      next += 1;
      left = add({ op, args: [left, inner()] });
    }
    return left;
  };
  const sum = () => joined(() => joined(signed, ["*", "/"]), ["+", "-"]);
  for (;;) {
    const name = tokens[next + 1] === "=" && /^[A-Za-z_]/.test(tokens[next]) ? tokens[next] : "";
    if (name) {
      if (known.has(name)) throw new Error(`“${name}” has a value already`);
      if (FUNCTIONS.includes(name)) throw new Error(`“${name}” is a function`);
      next += 2;
    }
    const node = sum();
    if (name) { known.set(name, node); if (!nodes[node].name) nodes[node].name = name; }
    if (tokens[next] === undefined) return trimmed(nodes, node);
    expect(";");
  }
}

/** Leave out what the result does not depend on. */
function trimmed(nodes, result) {
  const wanted = new Set();
  const visit = (k) => { if (!wanted.has(k)) { wanted.add(k); nodes[k].args.forEach(visit); } };
  visit(result);
  const order = [...wanted].sort((a, b) => a - b);
  const at = new Map(order.map((k, place) => [k, place]));
  const kept = order.map((k) => ({ ...nodes[k], args: nodes[k].args.map((arg) => at.get(arg)) }));
  if (kept.length > MOST) throw new Error(`${kept.length} nodes; at most ${MOST} can be drawn`);
  return kept;
}

const variables = (nodes) => nodes.filter(({ op }) => op === "variable").map(({ name }) => name);

/** Return the values of all nodes, and the slopes of all edges; raise if one is not a number. */
function forward(nodes, inputs) {
  const values = [], slopes = [];
  nodes.forEach(({ op, args, name, number }, k) => {
    const given = args.map((arg) => values[arg]);
    values[k] = op === "number" ? number : op === "variable" ? inputs[name] : OPERATIONS[op][0](...given);
    slopes[k] = args.length ? OPERATIONS[op][1](...given) : [];
    if (![values[k], ...slopes[k]].every(Number.isFinite)) {
      throw new Error(op === "variable" ? `${name} needs a number`
        : `${op === "neg" ? "minus" : op} of ${given.map(short).join(" and ")} has no value or no slope`);
    }
  });
  return { values, slopes };
}

/** Return the sweep: for each node, last first, what it hands back and the gradients after that. */
function sweep(nodes, slopes) {
  const gradients = nodes.map(() => 0);
  gradients[nodes.length - 1] = 1;
  const steps = [{ node: -1, handed: [], gradients: [...gradients], reached: new Set([nodes.length - 1]) }];
  for (let k = nodes.length - 1; k >= 0; k--) {
    if (!nodes[k].args.length) continue;
    const handed = nodes[k].args.map((arg, j) => [arg, slopes[k][j], gradients[k] * slopes[k][j]])
      .filter(([arg]) => nodes[arg].op !== "number");
    for (const [arg, , amount] of handed) gradients[arg] += amount;
    const reached = new Set([...steps.at(-1).reached, ...handed.map(([arg]) => arg)]);
    steps.push({ node: k, handed, gradients: [...gradients], reached });
  }
  return steps;
}

/** Values and gradients of a text: what a test compares with PyTorch. */
function differentiate(text, inputs) {
  const nodes = parse(text);
  const { values, slopes } = forward(nodes, inputs);
  const gradients = sweep(nodes, slopes).at(-1).gradients;
  const found = nodes.flatMap(({ op, name }, k) => (op === "variable" ? [[name, gradients[k]]] : []));
  return { value: values.at(-1), gradients: Object.fromEntries(found) };
}

const short = (x) => (x === 0 ? "0" : String(Number(x.toPrecision(4)))).replace("-", "−");
const SIGNS = { "*": "×", "/": "÷", "-": "−", neg: "−", "^": "^" };
const symbol = ({ op, name, number }) => (op === "number" ? short(number) : op === "variable" ? name : SIGNS[op] ?? op);
const title = (nodes, k) => nodes[k].name || (k === nodes.length - 1 ? "the result" : `the node “${symbol(nodes[k])}”`);

/** Where the nodes stand: a column for the longest way from an input, in it ordered by what it reads. */
function layout(nodes) {
  const depth = [], place = [];
  nodes.forEach(({ args }, k) => { depth[k] = args.length ? 1 + Math.max(...args.map((arg) => depth[arg])) : 0; });
  nodes.forEach((node, k) => { // an input stands just before what reads it first
    if (node.args.length) return;
    depth[k] = Math.min(...nodes.flatMap(({ args }, reader) => (args.includes(k) ? [depth[reader] - 1] : [])), depth.at(-1));
  });
  const columns = [...Array(Math.max(...depth) + 1)].map((_, d) => nodes.map((_, k) => k).filter((k) => depth[k] === d));
  const most = Math.max(...columns.map((column) => column.length));
  const width = 92 * columns.length + 16, height = 92 * most + 10;
  for (const column of columns) {
    const pull = (k) => nodes[k].args.reduce((sum, arg) => sum + (place[arg]?.y ?? 0), 0) / (nodes[k].args.length || 1);
    if (column.every((k) => nodes[k].args.length)) column.sort((a, b) => pull(a) - pull(b));
    column.forEach((k, row) => { place[k] = { x: 54 + 92 * depth[k], y: (height * (row + 0.5)) / column.length }; });
  }
  return { place, width, height };
}

/** The picture of a step, as what stands inside of an SVG element. */
function picture(nodes, { values, slopes }, step) {
  const { place, width, height } = layout(nodes);
  const parts = [`<rect class="ground" width="${width}" height="${height}"/>`];
  nodes.forEach(({ args }, k) => args.forEach((arg, j) => {
    const [from, to] = [place[arg], place[k]];
    const twice = args.indexOf(arg) !== j ? 26 : args.lastIndexOf(arg) !== j ? -26 : 0;
    const [mx, my] = [(from.x + to.x) / 2, (from.y + to.y) / 2 + twice];
    const lit = step && k === step.node && nodes[arg].op !== "number" ? " lit" : "";
    parts.push(`<path class="edge${lit}" d="M${from.x} ${from.y}Q${mx} ${my + twice} ${to.x} ${to.y}"/>`);
    if (nodes[arg].op !== "number") parts.push(`<text class="slope${lit}" x="${mx}" y="${my - 4}">${short(slopes[k][j])}</text>`);
  }));
  nodes.forEach((node, k) => {
    const { x, y } = place[k];
    const known = step?.reached.has(k) ? `<text class="gradient" x="${x}" y="${y + 36}">${short(step.gradients[k])}</text>` : "";
    const kind = node.args.length ? "" : node.op === "number" ? " constant" : " input";
    parts.push(
      `<circle class="node${kind}${step && k === step.node ? " lit" : ""}" cx="${x}" cy="${y}" r="19"/>`,
      `<text class="symbol" x="${x}" y="${y + 5}">${symbol(node)}</text>`,
      node.op === "number" ? "" : `<text class="value" x="${x}" y="${y - 25}">${node.name && node.args.length ? `${node.name} = ` : ""}${short(values[k])}</text>`,
      known,
    );
  });
  return { width, height, svg: parts.join("") };
}

/** What a step does, in words. */
function words(nodes, steps, at) {
  if (at < 0) return "Values only. Next: the result's gradient is 1.";
  const { node, handed, gradients } = steps[at];
  const last = at === steps.length - 1;
  const ends = variables(nodes).map((name) => {
    const k = nodes.findIndex((other) => other.op === "variable" && other.name === name);
    return `∂/∂${name} = ${short(gradients[k])}`;
  });
  const end = last ? ` Done: ${ends.join(", ") || "there is no variable"}.` : "";
  if (node < 0) return `The result's gradient is 1.${end}`;
  const given = handed.map(([arg, slope, amount]) => `${short(amount)} (= ${short(gradients[node])} × ${short(slope)}) to ${title(nodes, arg)}`);
  return `Step ${at} of ${steps.length - 1}: ${title(nodes, node)} hands back ${given.join(" and ") || "nothing, to numbers"}.${end}`;
}

function still() {
  const [text, inputs] = EXAMPLES.example;
  const nodes = parse(text);
  const state = forward(nodes, inputs);
  return picture(nodes, state, sweep(nodes, state.slopes).at(-1));
}

function mount(figure) {
  const svg = figure.querySelector("svg"), output = figure.querySelector("output");
  const button = (name) => figure.querySelector(`[data-do="${name}"]`);
  const form = document.createElement("div");
  form.className = "live-inputs js-only";
  form.innerHTML = '<label>expression <input type="text" class="expression" spellcheck="false" autocapitalize="off" autocomplete="off"></label><span class="values"></span>';
  svg.before(form);
  const field = form.querySelector(".expression"), fields = form.querySelector(".values");
  let inputs = {}, nodes = [], state = null, steps = [], at = -1;
  const show = () => {
    const drawn = picture(nodes, state, at < 0 ? null : steps[at]);
    svg.setAttribute("viewBox", `0 0 ${drawn.width} ${drawn.height}`);
    svg.style.maxWidth = `${drawn.width}px`;
    svg.innerHTML = drawn.svg;
    output.textContent = words(nodes, steps, at);
    button("back").disabled = at < 0;
    button("next").disabled = button("all").disabled = at >= steps.length - 1;
  };
  const refuse = (error) => {
    output.textContent = `${error.message[0].toUpperCase()}${error.message.slice(1)}.`;
    for (const name of ["back", "next", "all"]) button(name).disabled = true;
  };
  const compute = () => {
    try {
      state = forward(nodes, inputs);
      steps = sweep(nodes, state.slopes);
      at = Math.min(at, steps.length - 1);
      show();
    } catch (error) { refuse(error); }
  };
  const ask = () => {
    fields.replaceChildren(...variables(nodes).map((name) => {
      const label = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "number", step: "any", value: inputs[name] });
      input.oninput = () => { inputs[name] = input.value === "" ? NaN : Number(input.value); compute(); };
      label.append(`${name} `, input);
      return label;
    }));
  };
  const read = () => {
    try {
      nodes = parse(field.value);
      for (const name of variables(nodes)) inputs[name] ??= 1;
      at = -1;
      ask();
      compute();
    } catch (error) { refuse(error); }
  };
  const choose = (name) => { inputs = { ...EXAMPLES[name][1] }; field.value = EXAMPLES[name][0]; read(); };
  const actions = {
    back: () => { at -= 1; show(); },
    next: () => { at += 1; show(); },
    all: () => { at = steps.length - 1; show(); },
    example: () => choose("example"),
    neuron: () => choose("neuron"),
    fork: () => choose("fork"),
    loss: () => choose("loss"),
  };
  for (const name of Object.keys(actions)) button(name).onclick = actions[name];
  field.oninput = read;
  choose("example");
}

if (typeof module === "object") module.exports = { parse, forward, sweep, differentiate, words, still, EXAMPLES };
else for (const figure of document.querySelectorAll('[data-live="backprop"]')) mount(figure);
})();
