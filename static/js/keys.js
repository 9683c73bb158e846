// Hot keys. They are declared on the control they press: <a data-key="c">, <a data-key="g c">, <input data-key="/">,
// <a data-key="escape">. A button with data-keys lists them all.
const visible = (element) => element.checkVisibility?.({ visibilityProperty: true }) ?? element.offsetParent !== null;
const controls = () => [...document.querySelectorAll("[data-key]")];
const make = (name, props, ...children) => {
  const element = Object.assign(document.createElement(name), props);
  element.append(...children);
  return element;
};
let pressed = "";
let since = 0;

function press(element) {
  if (!element.matches("input:not([type=checkbox], [type=radio], [type=submit]), textarea, select")) return element.click();
  element.focus();
  element.select?.();
}

// Esc leaves what is innermost: an open menu, a field, then the sheet or the selection.
function escape(event) {
  const menu = document.querySelector(":is(.menu, .account-menu)[open]");
  if (document.querySelector("dialog[open], :popover-open")) return;
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (event.target.matches("input:not([type=checkbox]), textarea, select")) {
    event.target.blur();
  } else {
    controls().find((element) => element.dataset.key === "escape" && visible(element))?.click();
  }
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing) return;
  if (event.key === "Escape") return escape(event);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], dialog")) return;
  const first = event.timeStamp - since < 1200 ? pressed : "";
  since = event.timeStamp;
  const all = controls();
  for (const keys of [`${first} ${event.key}`.trim(), event.key]) {
    // links of the sidebar work even while it is folded away
    const control = all.find((element) => element.dataset.key === keys && (visible(element) || element.closest(".nav")));
    if (!control) continue;
    pressed = "";
    event.preventDefault();
    return press(control);
  }
  pressed = all.some((element) => element.dataset.key.startsWith(`${event.key} `)) ? event.key : "";
});

function showShortcuts() {
  const labels = new Map(document.querySelector("[data-rows]") ? [["j", "Next row"], ["k", "Previous row"], ["x", "Select row"], ["e", "Edit row"], ["enter", "Open row"]] : []);
  for (const element of controls()) {
    const label = element.dataset.keyLabel || element.ariaLabel || element.placeholder || element.textContent.trim();
    if (!labels.has(element.dataset.key)) labels.set(element.dataset.key, label);
  }
  const lines = [...labels].map(([keys, label]) =>
    make("li", {}, make("span", { textContent: label }), make("span", {}, ...keys.split(" ").flatMap((key) => [make("kbd", { textContent: key }), " "]))),
  );
  const close = make("button", { className: "button small", type: "button", textContent: "Close", onclick: () => dialog.close() });
  const dialog = make("dialog", { className: "dialog", ariaLabel: "Keyboard shortcuts", onclose: () => dialog.remove() },
    make("header", {}, make("h2", { textContent: "Keyboard shortcuts" }), close),
    make("ul", { className: "shortcuts body" }, ...lines),
  );
  document.body.append(dialog);
  dialog.showModal();
}
document.addEventListener("click", (event) => event.target.closest("[data-keys]") && showShortcuts());
