"use strict";
const nav = document.querySelector("nav");
document.querySelectorAll("h2").forEach((head, number) => {
  const link = document.createElement("a");
  head.id ||= `section-${number}`;
  link.href = `#${head.id}`;
  link.textContent = head.textContent.split(",")[0];
  nav.append(link);
});

function valueOf(row, column) {
  const cell = row.cells[column];
  return cell.dataset.v === undefined ? cell.textContent.trim() : Number(cell.dataset.v);
}

function compare(a, b, sign) {  // what is not known comes last, either way
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
}

for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const head = button.parentElement, body = head.closest("table").tBodies[0];
  const column = head.cellIndex, up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const sign = up ? 1 : -1;
  body.append(...[...body.rows].sort((a, b) => compare(valueOf(a, column), valueOf(b, column), sign)));
};

const maps = document.getElementById("maps");
if (maps) maps.onclick = () => {
  const on = maps.getAttribute("aria-pressed") !== "true";
  maps.setAttribute("aria-pressed", on);
  document.body.classList.toggle("with-maps", on);
};

const zoom = document.getElementById("zoom");
for (const picture of document.querySelectorAll("button.picture")) picture.onclick = () => {
  const {naturalWidth, naturalHeight} = picture.firstElementChild;
  zoom.style.setProperty("--ratio", naturalWidth / naturalHeight);
  zoom.replaceChildren(...[...picture.children].map(image => image.cloneNode()));
  zoom.showModal();
};
zoom.onclick = () => zoom.close();
