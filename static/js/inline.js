// Editing in place. [data-inline] holds a value with its .edit link, and a form while it is edited; [data-leave] in the form
// brings the value back as it was, without a request, and the focus to its link. What shows changes, [data-refresh], is
// fetched again after a save.
const shown = new WeakMap(); // the cell and its markup from before the edit
const cellOf = (element) => (element instanceof Element ? element.closest("[data-inline]") : null);

function focusValue(cell) {
  cell.querySelector(".edit")?.focus({ preventScroll: true });
}

function leave(cell) {
  cell.innerHTML = shown.get(cell);
  shown.delete(cell);
  window.htmx?.process(cell);
  focusValue(cell);
}

document.addEventListener("htmx:before:swap", ({ detail }) => {
  const cell = cellOf(detail?.ctx?.sourceElement);
  if (!cell || cell.querySelector("form")) return;
  const copy = cell.cloneNode(true);
  for (const element of copy.querySelectorAll("[data-htmx-powered]")) element.removeAttribute("data-htmx-powered");
  shown.set(cell, copy.innerHTML);
});

document.addEventListener("htmx:after:swap", ({ detail }) => {
  const cell = cellOf(detail?.ctx?.target) ?? cellOf(detail?.ctx?.sourceElement);
  if (!cell || !shown.has(cell) || cell.querySelector("form")) return;
  shown.delete(cell); // saved
  focusValue(cell);
  for (const element of document.querySelectorAll("[data-refresh]")) element.dispatchEvent(new Event("refresh"));
});

document.addEventListener("click", (event) => {
  const cell = event.target.closest("[data-leave]") && cellOf(event.target);
  if (!cell || !shown.has(cell)) return;
  event.preventDefault();
  leave(cell);
});

// Before keys.js, which leaves the field only.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing || event.defaultPrevented) return;
  const cell = cellOf(event.target);
  if (!cell || !shown.has(cell)) return;
  event.preventDefault();
  leave(cell);
});
