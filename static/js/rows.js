// Tables: j and k move, x selects, e edits, Enter opens; Shift-click selects a range; one box selects the page.
// <table data-rows>, in each row: input[type=checkbox][name=id], a[data-open], [data-edit].
const BOX = "input[type=checkbox][name=id]";
let last = null;

const rows = () => [...document.querySelectorAll("[data-rows] tbody tr")];

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.classList.contains("cursor"));
  const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
  all[at]?.classList.remove("cursor");
  next.classList.add("cursor");
  next.scrollIntoView({ block: "nearest" });
  next.querySelector("[data-open]")?.focus({ preventScroll: true });
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !document.querySelector("[data-rows]")) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog, summary, button")) return;
  const row = document.querySelector("[data-rows] tr.cursor");
  const control = { x: BOX, e: "[data-edit]", Enter: event.target.closest("a") ? null : "[data-open]" }[event.key];
  if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
  else if (row && control) row.querySelector(control)?.click();
  else return;
  event.preventDefault();
}

function count() {
  for (const scope of document.querySelectorAll(".list, [data-bulk]")) {
    const boxes = [...scope.querySelectorAll(BOX)];
    const chosen = boxes.filter((box) => box.checked).length;
    const all = scope.querySelector("[data-all]");
    if (all) {
      all.checked = chosen > 0 && chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
    }
    for (const place of scope.querySelectorAll("[data-bulk-count]")) place.textContent = chosen.toLocaleString("en");
  }
}

function onClick(event) {
  const clear = event.target.closest("[data-bulk-clear]");
  if (clear) {
    for (const box of document.querySelectorAll(BOX)) box.checked = false;
    return count();
  }
  const box = event.target.closest(BOX);
  if (!box) return;
  const boxes = [...document.querySelectorAll(BOX)];
  const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
  if (event.shiftKey && from >= 0) for (const other of boxes.slice(from, to + 1)) other.checked = box.checked;
  last = box;
}

document.addEventListener("keydown", onKey);
document.addEventListener("click", onClick);
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-all]")) {
    for (const box of event.target.closest(".list, [data-bulk]").querySelectorAll(BOX)) box.checked = event.target.checked;
  }
  if (event.target.matches(`${BOX}, [data-all]`)) count();
});
document.addEventListener("htmx:after:swap", count);
addEventListener("pageshow", count); // Back may bring ticked boxes
count();
