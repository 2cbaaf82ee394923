// Visits the built site as a reader's browser does, and prints what it saw as JSON:
//     node tests/site/visit.mjs SITE [WORD]
// Every page is opened in light, in dark and on a phone. WORD is what the search has to find.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { launch, serve, VIEWS } from "./browser.mjs";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const WIDTHS = { light: 1350, dark: 1350, phone: 400 }; // where formulas, tables and code are measured
const [site, word = "gradient"] = process.argv.slice(2);

// All pages of the site; the folder's own index.html only sends the reader on to the first page.
function pagesOf(folder) {
  const files = fs.readdirSync(folder, { recursive: true }).map((file) => file.replaceAll("\\", "/"));
  return files.filter((file) => file.endsWith(".html") && !file.startsWith("_")
    && !/http-equiv="refresh"/i.test(fs.readFileSync(path.join(folder, file), "utf8"))).sort();
}

// What the page itself can tell: runs in the browser.
function inspect() {
  const seen = (element) => element.checkVisibility() && element.getBoundingClientRect().width > 1;
  const images = [...document.images];
  return {
    lang: document.documentElement.lang,
    theme: document.documentElement.dataset.theme,
    title: document.title,
    description: document.querySelector("meta[name=description]")?.content ?? "",
    background: getComputedStyle(document.body).backgroundColor,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    wide: [...document.querySelectorAll("body *")].filter((element) =>
      seen(element) && element.getBoundingClientRect().right > innerWidth + 1
      && !element.closest("pre, .math-scroll, .pst-scrollable-table-container, .output, .math, .skip-link"))
      .slice(0, 3).map((element) => element.outerHTML.slice(0, 120)),
    noAlt: images.filter((image) => !image.alt.trim()).map((image) => image.src),
    noSize: images.filter((image) => !image.hidden && !image.getAttribute("width")).map((image) => image.src),
    broken: images.filter((image) => !image.hidden && image.naturalWidth === 0).map((image) => image.src),
    katexErrors: document.querySelectorAll(".katex-error").length,
    formulas: document.querySelectorAll(".katex").length,
    ids: [...document.querySelectorAll("[id]")].map((element) => element.id),
    links: [...document.querySelectorAll("a[href]")].map((link) => link.href),
    scripts: [...document.scripts].filter((script) => script.src).map((script) => script.src),
    fonts: [...document.fonts].filter((font) => font.status === "error").map((font) => font.family),
  };
}

// Formulas, tables and code wider than their place, each with how its box lets a reader get at the rest:
// whether it scrolls at all, is in the tab order, and shows by a shadow that something goes on.
// Runs in the browser.
function tooWide() {
  const clips = (element) => getComputedStyle(element).overflowX !== "visible";
  const hides = (box) => box.scrollWidth - box.clientWidth;
  return [...document.querySelectorAll("article :is(.math, table, pre)")].flatMap((element) => {
    if (!element.checkVisibility() || element.closest(".katex")) return [];
    const inner = element.querySelector(".katex-display") ?? element;
    let box = inner;
    while (box && !(clips(box) && hides(box) > 1)) box = box.parentElement;
    const hidden = box ? hides(box) : inner.getBoundingClientRect().right - innerWidth;
    if (hidden <= 1 || box?.clientWidth === 0) return [];
    box ??= document.body;
    const { overflowX, backgroundAttachment } = getComputedStyle(box);
    const type = element.matches(".math-block") ? "equation" : element.tagName.toLowerCase();
    return [{
      type: type === "span" ? "formula" : type,
      hidden,
      text: (inner.querySelector("annotation") ?? inner).textContent.trim().slice(0, 70),
      scrolls: /auto|scroll/.test(overflowX),
      reachable: box.tabIndex === 0 || overflowX === "visible",
      edge: /local/.test(backgroundAttachment) && /scroll/.test(backgroundAttachment),
    }];
  });
}

async function showEverything(page) {
  await page.evaluate(async () => {
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].filter((image) => !image.hidden)
      .map((image) => image.decode().catch(() => 0)));
    await document.fonts.ready;
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
    await new Promise((done) => { setTimeout(done, 60); }); // the resize observer's turn
  });
}

async function axe(page) {
  await page.addScriptTag({ path: AXE });
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map(({ id, nodes }) => ({
    id, nodes: nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary}`),
  }));
}

// Open a page, and note every request beyond the site, every message and every error;
// then see what is too wide where the window has another width.
async function visit(context, address, name, width) {
  const page = await context.newPage();
  const record = { external: [], missing: [], console: [], errors: [] };
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(address)) record.external.push(request.url());
  });
  page.on("response", (answer) => answer.status() >= 400 && record.missing.push(answer.url()));
  page.on("console", (message) => record.console.push(message.text()));
  page.on("pageerror", (error) => record.errors.push(String(error)));
  await page.goto(`${address}/${name}`, { waitUntil: "load" });
  await showEverything(page);
  Object.assign(record, await page.evaluate(inspect));
  record.axe = await axe(page);
  await page.setViewportSize({ ...page.viewportSize(), width });
  await page.waitForTimeout(60); // the resize observer's turn
  record.tooWide = await page.evaluate(tooWide);
  await page.close();
  return record;
}

// Links within the site that lead to no file, or to no place in it.
function brokenLinks(records, address, folder) {
  const broken = [];
  for (const [name, { links }] of Object.entries(records)) {
    for (const link of new Set(links.filter((target) => target.startsWith(address)))) {
      const { pathname, hash } = new URL(link);
      const target = decodeURIComponent(pathname).slice(1) || "index.html";
      const id = decodeURIComponent(hash.slice(1));
      if (!fs.existsSync(path.join(folder, target))) broken.push(`${name} -> ${target}`);
      else if (id && records[target] && !records[target].ids.includes(id)) broken.push(`${name} -> ${target}#${id}`);
    }
  }
  return broken;
}

// What a reader does: search, switch the theme, open the contents, move a slider, unfold.
async function act(browser, address, records) {
  const pages = Object.keys(records);
  const first = pages.find((name) => name.endsWith("index.html")) ?? pages[0];
  const context = await browser.newContext(VIEWS.light);
  const page = await context.newPage();
  const acts = { console: [] };
  page.on("console", (message) => acts.console.push(message.text()));
  page.on("pageerror", (error) => acts.console.push(String(error)));
  await page.goto(`${address}/${first}`);
  await page.keyboard.press("Control+k");
  acts.dialog = await page.locator(".search-dialog input").evaluate((input) => input === document.activeElement);
  await page.keyboard.type(word);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#search-results li", { timeout: 10000 }).catch(() => 0);
  acts.found = await page.locator("#search-results li a").evaluateAll((links) => links.map((link) => link.href));
  await page.waitForTimeout(500); // the quotations come after the links
  acts.quotes = await page.locator("#search-results .context").allTextContents();
  await page.goto(`${address}/${first}`);
  await page.click(".theme-button");
  acts.switched = await page.evaluate(() => document.documentElement.dataset.theme);
  await page.reload();
  acts.remembered = await page.evaluate(() => document.documentElement.dataset.theme);
  acts.slider = await slide(page, address, pages);
  acts.folded = await unfold(page, address, pages);
  acts.live = await useLive(page, address, pages);
  await context.close();
  acts.menu = await menu(browser, `${address}/${first}`);
  acts.withoutStorage = await withoutStorage(browser, `${address}/${first}`);
  acts.withoutScript = await withoutScript(browser, address, pages);
  return acts;
}

// Move the first slider of the site to its end by keyboard; null where no page has one.
async function slide(page, address, pages) {
  for (const name of pages) {
    await page.goto(`${address}/${name}`);
    const figure = page.locator(".frames").first();
    if (!await figure.count()) continue;
    const shown = () => figure.locator("img").evaluateAll((images) => images.map((image) => !image.hidden));
    const before = await shown();
    await figure.locator("input").focus();
    await page.keyboard.press("End");
    return { page: name, before, after: await shown(), says: await figure.locator("output").textContent() };
  }
  return null;
}

// Follow a link into the first folded solution: it has to open.
async function unfold(page, address, pages) {
  for (const name of pages) {
    await page.goto(`${address}/${name}`);
    const details = page.locator("article details[id]").first();
    if (!await details.count()) continue;
    const open = () => details.evaluate((element) => element.open);
    const before = await open();
    await page.evaluate((hash) => { location.hash = hash; }, await details.getAttribute("id"));
    await page.waitForTimeout(100);
    return { page: name, before, after: await open() };
  }
  return null;
}

// Use the figures that compute: what each says after every act. A figure no page has is missing here.
async function useLive(page, address, pages) {
  const said = {};
  for (const name of pages) {
    await page.goto(`${address}/${name}`);
    for (const figure of await page.locator("figure.live").all()) {
      const says = async () => (await figure.locator("output").textContent()).trim();
      const press = async (text) => { await figure.getByRole("button", { name: text, exact: true }).click(); return says(); };
      const kind = await figure.getAttribute("data-live");
      const start = await says();
      if (kind === "perceptron") {
        const svg = figure.locator("svg");
        const xor = await press("XOR");
        let last = "";
        for (let k = 0; k < 210; k++) last = await press("Next mistake");
        await press("Empty");
        await svg.click({ position: { x: 40, y: 40 } });
        const one = await svg.locator(".point").count();
        await svg.focus();
        for (const key of ["ArrowRight", "ArrowRight", "ArrowDown", "Enter"]) await page.keyboard.press(key);
        said.perceptron = { start, xor, last, one, two: await svg.locator(".point").count(), end: await says() };
      } else if (kind === "backprop") {
        const next = await press("Next"), end = await press("To the end");
        await figure.locator(".expression").fill("x*x*x");
        await figure.locator(".values input").fill("3");
        const cube = await press("To the end");
        await figure.locator(".expression").fill("x +");
        said.backprop = { start, next, end, cube, refused: await says() };
      } else if (kind === "convolution") {
        const blur = await press("Blur");
        await figure.locator("svg").focus();
        await page.keyboard.press("ArrowLeft");
        said.convolution = { start, blur, place: await says() };
      } else if (kind === "optimisers") {
        const bend = await press("Bend"), step = await press("Step");
        await figure.locator("svg").focus();
        for (const key of ["ArrowUp", "ArrowUp", "Enter"]) await page.keyboard.press(key);
        const moved = await says();
        await press("Run");
        await page.waitForFunction((f) => f.querySelector('[data-do="run"]').disabled, await figure.elementHandle());
        said.optimisers = { start, bend, step, moved, end: await says() };
      }
    }
  }
  const map = page.locator(".needs").first();
  await page.goto(`${address}/${pages.find((name) => name.endsWith("book/index.html")) ?? pages[0]}`);
  if (await map.count()) {
    await map.locator("li a").last().focus();
    said.needs = { text: await map.locator(".needs-said").textContent(), lit: await map.locator("path.lit").count() };
  }
  return said;
}

async function menu(browser, address) {
  const context = await browser.newContext(VIEWS.phone);
  const page = await context.newPage();
  await page.goto(address);
  const seen = () => page.locator("#contents").isVisible();
  const before = await seen();
  await page.click(".menu-button");
  const open = await seen();
  await page.keyboard.press("Escape");
  const result = { before, open, after: await seen() };
  await context.close();
  return result;
}

// Where storage is blocked, asking for it is an error: the theme still switches.
async function withoutStorage(browser, address) {
  const context = await browser.newContext(VIEWS.light);
  await context.addInitScript(() => Object.defineProperty(window, "localStorage", {
    get() { throw new DOMException("blocked", "SecurityError"); },
  }));
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(address);
  await page.click(".theme-button");
  const theme = await page.evaluate(() => document.documentElement.dataset.theme);
  await context.close();
  return { theme, errors };
}

// With scripts off, text, formulas and the first frame of a slider still show.
async function withoutScript(browser, address, pages) {
  const context = await browser.newContext({ ...VIEWS.light, javaScriptEnabled: false });
  const page = await context.newPage();
  const seen = [];
  for (const name of pages) {
    await page.goto(`${address}/${name}`);
    for (const figure of await page.locator(".frames").all()) {
      seen.push({ page: name, frames: await figure.locator("img:visible").count(),
        controls: await figure.locator("input:visible").count() });
    }
  }
  await context.close();
  return seen;
}

const server = await serve(site);
const browser = await launch();
const pages = pagesOf(site);
const report = { pages, views: {} };
for (const [view, options] of Object.entries(VIEWS)) {
  const context = await browser.newContext(options);
  report.views[view] = {};
  for (const name of pages) report.views[view][name] = await visit(context, server.address, name, WIDTHS[view]);
  await context.close();
}
report.brokenLinks = brokenLinks(report.views.light, server.address, site);
report.acts = await act(browser, server.address, report.views.light);
await browser.close();
server.close();
for (const records of Object.values(report.views)) for (const record of Object.values(records)) delete record.ids;
process.stdout.write(JSON.stringify(report));
