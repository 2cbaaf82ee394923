// Open each deck in a browser, and measure each slide: node tests/site/decks.mjs SITE DECK...
// Prints JSON: errors, failed requests, and slides whose content is higher or wider than the slide.
import { launch, serve } from "./browser.mjs";

const [site, ...decks] = process.argv.slice(2);
const server = await serve(site);
const browser = await launch();
const page = await (await browser.newContext({ viewport: { width: 1280, height: 720 } })).newPage();
const report = { errors: [], outside: [], cut: [], slides: 0 };
let deck = "";
page.on("pageerror", (error) => report.errors.push(`${deck}: ${error.message}`));
page.on("console", (line) => line.type() === "error" && report.errors.push(`${deck}: ${line.text()}`));
page.on("request", (request) => {
  if (!request.url().startsWith(server.address) && !request.url().startsWith("data:")) report.outside.push(request.url());
});
page.on("response", (response) => response.status() >= 400 && report.errors.push(response.url()));
for (deck of decks) {
  await page.goto(`${server.address}/${deck}`, { waitUntil: "load" });
  if (!await page.evaluate(() => "Reveal" in window)) continue; // the list of the decks
  await page.waitForFunction(() => Reveal.isReady());
  const measured = await page.evaluate(async () => {
    await document.fonts.ready;
    for (const image of document.images) image.loading = "eager";
    await Promise.all([...document.images].map((image) => image.decode().catch(() => 0)));
    const slides = [...document.querySelectorAll(".slides > section")];
    return slides.map((slide, i) => {
      Reveal.slide(i);
      const body = slide.querySelector(".body");
      const scale = slide.getBoundingClientRect().width / 1280;
      const height = body.getBoundingClientRect().bottom / scale - slide.getBoundingClientRect().top / scale;
      return [i, Math.round(height), body.scrollWidth];
    });
  });
  report.slides += measured.length;
  for (const [i, height, width] of measured) {
    if (height > 722 || width > 1282) report.cut.push(`${deck}#/${i}: ${width} x ${height}`);
  }
}
await browser.close();
server.close();
console.log(JSON.stringify(report));
