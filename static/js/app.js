// Switchyard's own script. Everything works without it: it reads data-* and presses the real control.
//   data-ago             on <time>: keeps the relative text fresh
//   data-copy            copies the <pre>, <code> or input beside it, or its own value
//   data-dismiss         removes the toast around it
//   data-theme-toggle    light or dark, kept in a cookie that the server renders
//   data-pause           stops and starts the "every" polling of htmx on this page
// The other files: keys.js (data-key), rows.js (data-rows), drag.js (the builder).
const root = document.documentElement;
root.dataset.js = "1";

// ---- relative times: the same words as the filter `ago` on the server ----
const UNITS = [["y", 31536000], ["mo", 2592000], ["d", 86400], ["h", 3600], ["min", 60]];

function ago(then) {
  const seconds = (Date.now() - then) / 1000;
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? [];
  if (!unit) return "now";
  const count = Math.floor(Math.abs(seconds) / length);
  return seconds > 0 ? `${count} ${unit} ago` : `in ${count} ${unit}`;
}

function tick() {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const then = Date.parse(time.dateTime);
    if (!Number.isNaN(then) && time.textContent !== ago(then)) time.textContent = ago(then);
  }
}
setInterval(tick, 15000);
document.addEventListener("visibilitychange", tick);

// ---- small buttons ----
function say(text) {
  const toast = Object.assign(document.createElement("div"), { className: "toast", textContent: text });
  document.getElementById("notes")?.append(toast);
  setTimeout(() => toast.remove(), 2500);
}

async function copy(button) {
  const beside = button.parentElement.querySelector("pre, code, input");
  const text = button.dataset.copy || beside?.value || beside?.textContent || "";
  try {
    await navigator.clipboard.writeText(text.trim());
    say("Copied");
  } catch {
    getSelection().selectAllChildren(beside ?? button); // no permission: at least it is selected
    say("Selected: copy it with Ctrl C");
  }
}

function switchTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax${secure}`;
}

const pause = (button) => button.setAttribute("aria-pressed", String(root.toggleAttribute("data-paused")));
const dismiss = (button) => button.closest(".toast, .notice")?.remove();

document.addEventListener("click", (event) => {
  for (const [name, run] of [["copy", copy], ["dismiss", dismiss], ["theme-toggle", switchTheme], ["pause", pause]]) {
    const button = event.target.closest(`[data-${name}]`);
    if (button) run(button);
  }
  // one menu at a time, and none after a click elsewhere
  for (const menu of document.querySelectorAll(":is(.menu, .tenant-menu)[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// ---- live regions: not while paused, hidden, edited or dragged over ----
document.addEventListener("htmx:before:request", (event) => {
  const ctx = event.detail?.ctx;
  if (ctx?.sourceEvent?.type !== "every") return;
  const target = ctx.target instanceof Element ? ctx.target : ctx.sourceElement;
  const edited = target.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
  const busy = edited || root.classList.contains("dragging");
  if (busy || document.hidden || root.hasAttribute("data-paused")) event.preventDefault();
});

// ---- the first field that is wrong takes the focus ----
const focusError = (within) => within.querySelector("[aria-invalid=true], [data-problems]:not(:has(a))")?.focus();

document.addEventListener("htmx:after:swap", ({ detail }) => {
  const target = detail?.ctx?.target;
  if (target instanceof Element && target.isConnected && detail.ctx.sourceEvent?.type !== "every") focusError(target);
});
focusError(document);
