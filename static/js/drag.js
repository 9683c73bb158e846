// Builder: a step is dropped on an insert slot. The slot knows its list and position, the page holds one real
// form (data-move-form) with the inputs list, position, rev, account; it is filled in and submitted, nothing else.
//   <a class="step" data-step="s3" data-move="/workflows/1/steps/s3/position">   <li class="insert-slot" data-list="l2" data-position="1">
const TYPE = "application/x-switchyard-step";
let moved = null;

const form = () => document.querySelector("form[data-move-form]");
const slotOf = (event) => moved && event.target.closest?.(".insert-slot[data-list]");

// a step cannot be put into one of its own branches
const canDrop = (slot) => slot && !moved.closest("li")?.contains(slot);

function clearDropTarget() {
  for (const slot of document.querySelectorAll(".insert-slot.drop-target")) slot.classList.remove("drop-target");
}

function onDragStart(event) {
  const step = event.target.closest?.("[data-step][data-move]");
  if (!step || !form()) return;
  moved = step;
  event.dataTransfer.setData(TYPE, step.dataset.step);
  event.dataTransfer.effectAllowed = "move";
  step.classList.add("dragged");
  document.documentElement.classList.add("dragging");
}

function onDragOver(event) {
  const slot = slotOf(event);
  if (!canDrop(slot)) return;
  event.preventDefault();
  if (!slot.classList.contains("drop-target")) {
    clearDropTarget();
    slot.classList.add("drop-target");
  }
}

function onDrop(event) {
  const slot = slotOf(event);
  if (!canDrop(slot)) return;
  event.preventDefault();
  const target = form();
  target.action = moved.dataset.move;
  if (target.hasAttribute("hx-post")) target.setAttribute("hx-post", moved.dataset.move);
  target.elements.list.value = slot.dataset.list;
  target.elements.position.value = slot.dataset.position;
  target.requestSubmit();
}

function onDragEnd() {
  clearDropTarget();
  moved?.classList.remove("dragged");
  document.documentElement.classList.remove("dragging");
  moved = null;
}

// Lists in an order of their own: a row is dropped on another one and takes its place. Each row holds a form for its
// place; the drop fills in the position and sends it.
//   <tr data-order="3" draggable="true"> … <form data-order-form><input type="hidden" name="position" disabled>
let row = null;

const orderForm = (place) => place?.querySelector("form[data-order-form]");
const rowUnder = (event) => {
  const place = row && event.target.closest?.("tr[data-order]");
  return place && place !== row ? place : null;
};

function markRow(place) {
  for (const marked of document.querySelectorAll("tr.drop-target")) marked.classList.toggle("drop-target", marked === place);
  place?.classList.add("drop-target");
}

document.addEventListener("dragstart", (event) => {
  const place = event.target.closest?.("tr[data-order][draggable]");
  if (!orderForm(place)) return;
  row = place;
  event.dataTransfer.setData("application/x-switchyard-row", place.dataset.order);
  event.dataTransfer.effectAllowed = "move";
  place.classList.add("dragged");
});
document.addEventListener("dragover", (event) => {
  if (!row) return;
  const place = rowUnder(event);
  if (place) event.preventDefault();
  markRow(place);
});
document.addEventListener("drop", (event) => {
  const place = rowUnder(event);
  if (!place) return;
  event.preventDefault();
  const form = orderForm(row);
  form.elements.position.disabled = false;
  form.elements.position.value = place.dataset.order;
  form.requestSubmit();
});
document.addEventListener("dragend", () => {
  row?.classList.remove("dragged");
  markRow(null);
  row = null;
});

document.addEventListener("dragstart", onDragStart);
document.addEventListener("dragover", onDragOver);
document.addEventListener("dragleave", (event) => event.target === slotOf(event) && clearDropTarget());
document.addEventListener("drop", onDrop);
document.addEventListener("dragend", onDragEnd);
