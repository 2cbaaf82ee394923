// Print one document: node tools/volume/print.mjs SITE DOCUMENT.html OUT.pdf
// The document is served as if it stood at the root of the site, whose pictures and styles it uses;
// its fonts come from node_modules, with fixed weights: of a variable font a PDF holds outlines only.
import path from "node:path";
import { launch, serve } from "../../tests/site/browser.mjs";

const [site, file, out] = process.argv.slice(2);
if (!out) throw new Error("usage: node tools/volume/print.mjs SITE DOCUMENT.html OUT.pdf");
const server = await serve(site);
const browser = await launch();
const page = await (await browser.newContext({ colorScheme: "light" })).newPage();
const missing = [];
page.on("response", (response) => response.status() >= 400 && missing.push(response.url()));
const address = `${server.address}/volume.html`;
await page.route(address, (route) => route.fulfill({ path: file, contentType: "text/html; charset=utf-8" }));
await page.route("**/fontsource/**", (route) => {
  const name = new URL(route.request().url()).pathname.split("/fontsource/")[1];
  return route.fulfill({ path: path.join("node_modules", "@fontsource", name), contentType: "font/woff2" });
});
await page.goto(address, { waitUntil: "load", timeout: 0 });
await page.evaluate(() => document.fonts.ready);
if (missing.length) throw new Error(`not on the site: ${missing.join(", ")}`);
await page.pdf({ path: out, preferCSSPageSize: true, printBackground: true, tagged: false, timeout: 0 });
await browser.close();
server.close();
