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

// Every [data-bulk-count] shows how many rows are ticked, or with [data-bulk-all] how many match, which [data-total]
// has as soon as they are counted; its value is the noun behind the number.
function count() {
  for (const scope of document.querySelectorAll(".list, [data-bulk]")) {
    const boxes = [...scope.querySelectorAll(BOX)];
    const chosen = boxes.filter((box) => box.checked).length;
    const page = scope.querySelector("[data-all]");
    if (page) {
      page.checked = chosen > 0 && chosen === boxes.length;
      page.indeterminate = chosen > 0 && chosen < boxes.length;
    }
    const counted = scope.querySelector("[data-total]");
    const matching = counted ? Number(counted.dataset.total).toLocaleString("en") + ("more" in counted.dataset ? "+" : "") : "";
    for (const place of scope.querySelectorAll("[data-bulk-total]")) place.textContent = matching;
    for (const input of scope.querySelectorAll("[data-bulk-matching]")) {
      input.disabled = !counted || "more" in counted.dataset;
      input.value = counted?.dataset.total ?? "";
    }
    const all = scope.querySelector("[data-bulk-all]:checked");
    const number = all ? Number(counted?.dataset.total ?? 2) : chosen;
    const text = all ? matching || "all" : chosen.toLocaleString("en");
    for (const place of scope.querySelectorAll("[data-bulk-count]")) {
      const noun = place.dataset.bulkCount;
      place.textContent = noun ? `${text} ${noun}${number === 1 ? "" : "s"}` : text;
    }
  }
}

function tick(boxes, checked) {
  for (const box of boxes) box.checked = checked;
}

function onClick(event) {
  const clear = event.target.closest("[data-bulk-clear]");
  if (clear) {
    tick(document.querySelectorAll(`${BOX}, [data-bulk-all]`), false);
    return count();
  }
  const box = event.target.closest(BOX);
  if (!box) return;
  const boxes = [...document.querySelectorAll(BOX)];
  const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
  if (event.shiftKey && from >= 0) tick(boxes.slice(from, to + 1), box.checked);
  last = box;
}

// All that match holds every row of the page; a row that is taken out makes it a selection of rows again.
function onChange(event) {
  const scope = event.target.closest(".list, [data-bulk]");
  if (!scope || !event.target.matches(`${BOX}, [data-all], [data-bulk-all]`)) return;
  if (event.target.matches("[data-all], [data-bulk-all]:checked")) tick(scope.querySelectorAll(BOX), event.target.checked);
  if (!event.target.checked && !event.target.matches("[data-bulk-all]")) tick(scope.querySelectorAll("[data-bulk-all]"), false);
  count();
}

document.addEventListener("keydown", onKey);
document.addEventListener("click", onClick);
document.addEventListener("change", onChange);
document.addEventListener("htmx:after:swap", count);
addEventListener("pageshow", count); // Back may bring ticked boxes
count();
