// Pictures of pages for authors: node tools/screenshots.mjs SITE FOLDER PAGE...
// Each page is taken in light, in dark and as a phone shows it, whole; FOLDER gets PNG files.
import fs from "node:fs";
import path from "node:path";
import { launch, serve, VIEWS } from "../tests/site/browser.mjs";

const [site, folder, ...pages] = process.argv.slice(2);
if (!pages.length) throw new Error("usage: node tools/screenshots.mjs SITE FOLDER PAGE...");
fs.mkdirSync(folder, { recursive: true });
const server = await serve(site);
const browser = await launch();
for (const [view, options] of Object.entries(VIEWS)) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  for (const name of pages) {
    await page.goto(`${server.address}/${name}`, { waitUntil: "networkidle" });
    await page.evaluate(() => { // lazy pictures come when they are asked for
      for (const image of document.images) image.loading = "eager";
      return Promise.all([...document.images].map((image) => image.decode().catch(() => 0)));
    });
    const file = path.join(folder, `${name.replace(/\.html$/, "").replaceAll("/", "-")}-${view}.png`);
    await page.screenshot({ path: file, fullPage: true });
    console.log(file);
  }
  await context.close();
}
await browser.close();
server.close();
