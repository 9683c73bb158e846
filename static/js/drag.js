// Builder: a step is dropped on an insert slot. The slot knows its list and position, the page holds one real
// form (data-move-form) with the inputs list, position, rev, account; it is filled in and submitted, nothing else.
//   <a class="step" data-step="s3" data-move="/workflows/1/steps/s3/position">   <li class="insert-slot" data-list="l2" data-position="1">
const TYPE = "application/x-switchyard-step";
let moved = null;

const form = () => document.querySelector("form[data-move-form]");
const slotOf = (event) => moved && event.target.closest?.(".insert-slot[data-list]");

// a step cannot be put into one of its own branches
const fits = (slot) => slot && !moved.closest("li")?.contains(slot);

function unmark() {
  for (const slot of document.querySelectorAll(".insert-slot.over")) slot.classList.remove("over");
}

function start(event) {
  const step = event.target.closest?.("[data-step][data-move]");
  if (!step || !form()) return;
  moved = step;
  event.dataTransfer.setData(TYPE, step.dataset.step);
  event.dataTransfer.effectAllowed = "move";
  step.classList.add("dragged");
  document.documentElement.classList.add("dragging");
}

function over(event) {
  const slot = slotOf(event);
  if (!fits(slot)) return;
  event.preventDefault();
  if (!slot.classList.contains("over")) {
    unmark();
    slot.classList.add("over");
  }
}

function drop(event) {
  const slot = slotOf(event);
  if (!fits(slot)) return;
  event.preventDefault();
  const target = form();
  target.action = moved.dataset.move;
  if (target.hasAttribute("hx-post")) target.setAttribute("hx-post", moved.dataset.move);
  target.elements.list.value = slot.dataset.list;
  target.elements.position.value = slot.dataset.position;
  target.requestSubmit();
}

function end() {
  unmark();
  moved?.classList.remove("dragged");
  document.documentElement.classList.remove("dragging");
  moved = null;
}

document.addEventListener("dragstart", start);
document.addEventListener("dragover", over);
document.addEventListener("dragleave", (event) => event.target === slotOf(event) && unmark());
document.addEventListener("drop", drop);
document.addEventListener("dragend", end);
