// The map of what needs what: pointing at a chapter lights what it needs, and what that needs.
"use strict";
for (const map of document.querySelectorAll(".needs")) {
  const rows = [...map.querySelectorAll("li")];
  const arcs = [...map.querySelectorAll("path")];
  const needs = rows.map((row) => row.dataset.needs.split(" ").filter(Boolean).map(Number));
  const title = (k) => rows[k].querySelector("a").textContent;
  const said = map.querySelector(".needs-said");
  const before = (k, seen = new Set()) => {
    for (const need of needs[k]) if (!seen.has(need)) before(need, seen.add(need));
    return seen;
  };
  const light = (k) => {
    const all = k === null ? new Set() : before(k);
    map.classList.toggle("pointed", k !== null);
    rows.forEach((row, n) => row.classList.toggle("lit", all.has(n) || n === k));
    arcs.forEach(({ classList, dataset }) => {
      classList.toggle("lit", all.has(+dataset.from) && (+dataset.to === k || all.has(+dataset.to)));
    });
    said.textContent = k === null ? "" : all.size
      ? `${title(k)} needs ${needs[k].map(title).join(", ")}; with what these need, ${all.size} chapters.`
      : `${title(k)} needs no other chapter.`;
  };
  rows.forEach((row, k) => {
    row.onpointerenter = row.onfocus = () => light(k);
    row.querySelector("a").onfocus = () => light(k);
    row.querySelector("a").onblur = () => light(null);
  });
  map.onpointerleave = () => light(null);
}
