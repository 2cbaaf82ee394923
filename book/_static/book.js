// The site's few lines of script. Everything but search, the theme's switch and sliders works without.
"use strict";
const root = document.documentElement;
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);

// Light and dark: the system's choice until the reader makes one, which is kept if it can be:
// where storage is blocked, asking for it is an error.
let chosen = null;
try { chosen = localStorage.getItem("theme"); } catch {}
function setTheme(theme, keep) {
  root.dataset.theme = theme;
  if (keep) {
    chosen = theme;
    try { localStorage.setItem("theme", theme); } catch {}
  }
  const other = theme === "dark" ? "light" : "dark";
  one(".theme-button").setAttribute("aria-label", `Switch to the ${other} theme`);
}
setTheme(root.dataset.theme);
one(".theme-button").onclick = () => setTheme(root.dataset.theme === "dark" ? "light" : "dark", true);
matchMedia("(prefers-color-scheme: dark)").onchange = ({ matches }) => {
  if (!chosen) setTheme(matches ? "dark" : "light");
};

// The contents of the book, over the page on a narrow screen.
const menu = one(".menu-button");
const contents = one("#contents");
function showContents(open) {
  menu.setAttribute("aria-expanded", open);
  contents.classList.toggle("open", open);
  if (open) contents.querySelector("a").focus();
}
menu.onclick = () => showContents(menu.getAttribute("aria-expanded") === "false");
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && contents.classList.contains("open")) {
    showContents(false);
    menu.focus();
  }
});
document.addEventListener("click", ({ target }) => {
  if (!contents.contains(target) && !menu.contains(target)) showContents(false);
});
const here = contents.querySelector(".current > a");
if (here) contents.scrollTop = here.offsetTop - contents.clientHeight / 3;

// Search: a dialogue over the page; the results have a page of their own.
const search = one(".search-dialog");
function openSearch(event) {
  event.preventDefault();
  search.showModal();
  search.querySelector("input").select();
}
one(".search-button").onclick = openSearch;
search.querySelector("button").onclick = () => search.close();
search.onclick = ({ target }) => target === search && search.close();
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") openSearch(event);
});

// A slider shows one of its frames.
for (const figure of all(".frames")) {
  const slider = figure.querySelector("input[type=range]");
  const frames = all("img", figure);
  const values = JSON.parse(slider.dataset.values);
  const load = () => frames.forEach((frame) => (frame.loading = "eager"));
  slider.addEventListener("pointerenter", load, { once: true });
  slider.addEventListener("focus", load, { once: true });
  slider.oninput = () => {
    frames.forEach((frame, k) => (frame.hidden = k !== slider.valueAsNumber));
    figure.querySelector("output").textContent = values[slider.valueAsNumber];
    slider.setAttribute("aria-valuetext", values[slider.valueAsNumber]);
  };
  slider.oninput(); // a browser may have kept the reader's last position
}

// Copy a block of code.
for (const block of all("article div.highlight")) {
  const code = block.querySelector("pre");
  if (!code || block.closest(".cell_output")) continue;
  const button = Object.assign(document.createElement("button"), {
    type: "button", className: "copy", textContent: "Copy",
  });
  button.onclick = async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  };
  block.append(button);
}

// What scrolls sideways can be reached by keyboard, and only then takes part in the tab order.
const boxes = all("pre, .math-scroll, .pst-scrollable-table-container, .cell_output .output, .math:not(.math-block)");
const reach = () => boxes.forEach((box) => {
  const scrolls = box.scrollWidth > box.clientWidth + 1 && box.clientWidth > 0;
  if (scrolls) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
});
new ResizeObserver(reach).observe(document.body);
document.fonts.ready.then(reach);
document.addEventListener("toggle", reach, true); // what a <details> reveals may scroll, too

// A link to something inside a folded box opens it.
function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let box = target; box; box = box.parentElement) if (box.tagName === "DETAILS") box.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", reveal);
if (location.hash) reveal();

// Where the reader is, in the page's own contents.
const links = new Map(all(".side-toc a[href^='#']").map((link) => [link.hash.slice(1), link]));
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) {
    links.forEach((link, id) => link.ariaCurrent = id === target.id ? "true" : null);
  }
}, { rootMargin: "-15% 0px -70%" });
for (const id of links.keys()) if (id) sight.observe(document.getElementById(id));
