// Switchyard's own script. Everything works without it: it reads data-* and presses the real control.
//   data-key="c" or "g c"     presses (or focuses) the element; data-key-label names it in the list of keys
//   data-ago                  on <time>: keeps the relative text fresh
//   data-copy                 copies the <pre>, <code> or input beside it; data-copy="text" copies that text
//   data-dismiss              removes the toast around it
//   data-pause                stops and starts the "every" polling of htmx on this page
//   data-all                  a check box that ticks all row boxes of its table; data-bulk-count shows how many
//   data-step, data-list      builder: a step that is dragged, a slot that takes it (see drag.js)
import { startDragging } from "./drag.js";
import { startKeys } from "./keys.js";
import { startRows } from "./rows.js";

const root = document.documentElement;
root.dataset.js = "1";

// ---- relative times: the same words as the filter `ago` on the server ----
const UNITS = [["y", 31536000], ["mo", 2592000], ["d", 86400], ["h", 3600], ["min", 60]];

function ago(then) {
  const seconds = (Date.now() - then) / 1000;
  for (const [unit, length] of UNITS) {
    if (Math.abs(seconds) < length) continue;
    const count = Math.floor(Math.abs(seconds) / length);
    return seconds > 0 ? `${count} ${unit} ago` : `in ${count} ${unit}`;
  }
  return "now";
}

function tick() {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const then = Date.parse(time.dateTime);
    const text = Number.isNaN(then) ? "" : ago(then);
    if (text && time.textContent !== text) time.textContent = text;
  }
}
setInterval(tick, 15000);
document.addEventListener("visibilitychange", tick);

// ---- small buttons ----
async function copy(button) {
  const beside = button.parentElement.querySelector("pre, code, input");
  const text = button.dataset.copy || (beside ? beside.value || beside.textContent : "");
  try {
    await navigator.clipboard.writeText(text.trim());
    say("Copied");
  } catch {
    getSelection().selectAllChildren(beside || button); // no permission: at least it is selected
    say("Selected: copy it with Ctrl C");
  }
}

function say(text) {
  const toast = document.createElement("div");
  toast.className = "toast";
  toast.append(Object.assign(document.createElement("span"), { textContent: text }));
  document.getElementById("notes")?.append(toast);
  setTimeout(() => toast.remove(), 2500);
}

function switchTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax${secure}`;
}

function pause(button) {
  const paused = root.toggleAttribute("data-paused");
  button.setAttribute("aria-pressed", String(paused));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-dismiss], [data-theme-toggle], [data-pause]");
  if (button?.matches("[data-copy]")) copy(button);
  else if (button?.matches("[data-dismiss]")) button.closest(".toast, .notice")?.remove();
  else if (button?.matches("[data-theme-toggle]")) switchTheme();
  else if (button) pause(button);
  // one menu at a time, and none after a click elsewhere
  for (const menu of document.querySelectorAll(":is(.menu, .tenant-menu)[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// ---- live regions: not while paused, hidden, or edited ----
document.addEventListener("htmx:before:request", (event) => {
  const ctx = event.detail?.ctx;
  if (ctx?.sourceEvent?.type !== "every") return;
  const target = ctx.target instanceof Element ? ctx.target : ctx.sourceElement;
  const edited = target?.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
  if (root.hasAttribute("data-paused") || document.hidden || edited || root.classList.contains("dragging")) event.preventDefault();
});

// ---- the first field that is wrong takes the focus ----
function focusError(within) {
  const first = within.querySelector("[aria-invalid=true]") || within.querySelector("[data-problems]");
  first?.focus();
}

function fill(within) {
  for (const pre of within.querySelectorAll(".curl pre")) {
    pre.textContent = pre.textContent.replace("$SWITCHYARD_URL", location.origin);
  }
}

document.addEventListener("htmx:after:swap", (event) => {
  const target = event.detail?.ctx?.target;
  if (!(target instanceof Element) || !target.isConnected) return;
  fill(target);
  if (event.detail.ctx.sourceEvent?.type !== "every") focusError(target);
});

fill(document);
focusError(document);
startKeys();
startRows();
startDragging();
