// Hot keys. They are declared on the control they press: <a data-key="c">, <a data-key="g c">, <input data-key="/">.
const visible = (element) => element.checkVisibility?.({ visibilityProperty: true }) ?? element.offsetParent !== null;
const controls = () => [...document.querySelectorAll("[data-key]")];
let pressed = "";
let since = 0;

function press(element) {
  if (element.matches("input:not([type=checkbox], [type=radio], [type=submit]), textarea, select")) {
    element.focus();
    element.select?.();
  } else {
    element.click();
  }
}

// Esc leaves what is innermost: a field, an open menu, the sheet (its link declares data-key="escape").
function escape(event) {
  const menu = document.querySelector(":is(.menu, .tenant-menu)[open]");
  if (document.querySelector("dialog[open]")) return;
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (event.target.matches("input, textarea, select")) {
    event.target.blur();
  } else {
    controls().find((element) => element.dataset.key === "escape" && visible(element))?.click();
  }
}

function onKey(event) {
  if (event.defaultPrevented || event.isComposing) return;
  if (event.key === "Escape") return escape(event);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], dialog")) return;
  const fresh = event.timeStamp - since < 1200 ? pressed : "";
  since = event.timeStamp;
  const all = controls();
  for (const keys of [`${fresh} ${event.key}`.trim(), event.key]) {
    // the sidebar counts even where it is folded away: its links still lead somewhere
    const found = all.find((element) => element.dataset.key === keys && (visible(element) || element.closest(".nav")));
    if (found) {
      pressed = "";
      event.preventDefault();
      return press(found);
    }
  }
  pressed = all.some((element) => element.dataset.key.startsWith(`${event.key} `)) ? event.key : "";
}

function row(keys, label) {
  const item = document.createElement("li");
  const names = document.createElement("span");
  for (const key of keys.split(" ")) names.append(Object.assign(document.createElement("kbd"), { textContent: key }), " ");
  item.append(Object.assign(document.createElement("span"), { textContent: label }), names);
  return item;
}

function list() {
  document.getElementById("keys")?.remove();
  const dialog = Object.assign(document.createElement("dialog"), { id: "keys", className: "dialog" });
  dialog.setAttribute("aria-label", "Keyboard shortcuts");
  const head = document.createElement("header");
  const close = Object.assign(document.createElement("button"), { className: "btn sm", textContent: "Close", type: "button" });
  close.addEventListener("click", () => dialog.close());
  head.append(Object.assign(document.createElement("h2"), { textContent: "Keyboard shortcuts" }), close);
  const names = Object.assign(document.createElement("ul"), { className: "keys body" });
  const known = new Map();
  for (const element of controls()) {
    const label = element.dataset.keyLabel || element.getAttribute("aria-label") || element.placeholder || element.textContent.trim();
    if (!known.has(element.dataset.key)) known.set(element.dataset.key, label);
  }
  if (document.querySelector("[data-rows]")) {
    for (const [key, label] of [["j", "Next row"], ["k", "Previous row"], ["x", "Select row"], ["e", "Edit row"], ["enter", "Open row"]]) known.set(key, label);
  }
  for (const [key, label] of known) names.append(row(key, label));
  dialog.append(head, names);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

export function startKeys() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => event.target.closest("[data-keys]") && list());
}
