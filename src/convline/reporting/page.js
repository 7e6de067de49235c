"use strict";

// Tables sort by a click on a head: numbers by value, cells without a figure always last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const key = row => {
      const cell = row.cells[column];
      return cell.dataset.v === undefined ? [cell.textContent !== "–", cell.textContent] : [true, Number(cell.dataset.v)];
    };
    const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b
      : typeof a === "number" ? -1 : typeof b === "number" ? 1 : a.localeCompare(b, "en", {numeric: true});
    const rows = [...table.tBodies[0].rows].map(row => [key(row), row]);
    rows.sort(([[hasA, a]], [[hasB, b]]) => hasA !== hasB ? (hasA ? -1 : 1) : sign * compare(a, b));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}

// A mark of a plot is a link to its configuration's row: both, and its marks elsewhere, light up together.
const marks = new Map();
for (const mark of document.querySelectorAll(".cards svg a")) {
  const id = mark.getAttribute("xlink:href").slice(1);
  if (!marks.has(id)) marks.set(id, []);
  marks.get(id).push(mark);
}
const tip = document.getElementById("tip");

function light(id, on) {
  const row = document.getElementById(id);
  if (!row || !marks.has(id)) return;
  row.classList.toggle("on", on);
  row.closest("section").querySelector(".cards")?.classList.toggle("dim", on);
  for (const mark of marks.get(id)) mark.classList.toggle("on", on);
}

function place(event) {
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
}

for (const [id, group] of marks) {
  for (const mark of group) {
    mark.addEventListener("mouseenter", event => {
      light(id, true);
      tip.textContent = document.getElementById(id)?.dataset.tip ?? "";
      tip.hidden = false;
      place(event);
    });
    mark.addEventListener("mousemove", place);
    mark.addEventListener("mouseleave", () => { light(id, false); tip.hidden = true; });
  }
}
for (const row of document.querySelectorAll("tr[data-tip]")) {
  row.addEventListener("mouseenter", () => light(row.id, true));
  row.addEventListener("mouseleave", () => light(row.id, false));
}
