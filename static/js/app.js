// Switchyard's own script. Everything works without it: it reads data-* and presses the real control.
//   data-ago             on <time>: keeps the relative text fresh
//   data-copy            copies the <pre>, <code> or input beside it, or its own value
//   data-dismiss         removes the message around it
//   data-theme-toggle    light or dark, kept in a cookie that the server renders
// The other files: live.js (data-pause, what is fetched again), inline.js (data-inline), keys.js (data-key), rows.js (data-rows),
// filters.js (data-presses), drag.js (the builder).
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

function refreshTimes() {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const then = Date.parse(time.dateTime);
    if (!Number.isNaN(then) && time.textContent !== ago(then)) time.textContent = ago(then);
  }
}
setInterval(refreshTimes, 15000);
document.addEventListener("visibilitychange", refreshTimes);

// ---- messages: CSS fades them out; here they leave the document, and move away from the control that was just used ----
const notes = document.getElementById("notes");
const CONTROL = "a, button, summary, input, select, textarea, label";
let used = null;

function showToast(text, tone = "ok") {
  const toast = document.getElementById("toasts")?.content.querySelector(`.toast.${tone}`).cloneNode(true);
  if (!toast) return;
  toast.querySelector("span").textContent = text;
  notes.append(toast);
}

function moveAwayFromControl() {
  notes.classList.remove("moved-away");
  const { left, right, top, bottom } = notes.getBoundingClientRect();
  notes.classList.toggle("moved-away", Boolean(used) && left < used.right && right > used.left && top < used.bottom && bottom > used.top);
}

function rememberControl(control) {
  if (control && !notes.contains(control)) used = control.getBoundingClientRect();
}
document.addEventListener("click", ({ target }) => rememberControl(target.closest(CONTROL)), true);
document.addEventListener("submit", ({ target, submitter }) => {
  rememberControl(submitter);
  // the page that comes next shows the message
  if (target.method === "post" && used) sessionStorage.setItem("used", JSON.stringify(used));
}, true);
document.addEventListener("animationend", ({ target }) => target.matches(".toast") && target.remove());
used = JSON.parse(sessionStorage.getItem("used"));
sessionStorage.removeItem("used");
new MutationObserver(moveAwayFromControl).observe(notes, { childList: true });
moveAwayFromControl();

// A request without an answer shows a message
const reportFailure = ({ detail: { ctx } }) => {
  if (!ctx || ctx.sourceEvent?.type === "every" || (ctx.response && ctx.response.status < 500)) return;
  const advice = ctx.request.method === "GET" ? "Try again." : "Check whether your change was saved, then try again.";
  const message = new DOMParser().parseFromString(ctx.text ?? "", "text/html").querySelector("[data-message]")?.textContent;
  const refusal = message ?? "The server couldn't do that. Try again.";
  showToast(ctx.response ? refusal : `The server didn't respond. ${advice}`, "bad");
};
document.addEventListener("htmx:response:error", reportFailure);
document.addEventListener("htmx:error", reportFailure);

// ---- small buttons ----

async function copy(button) {
  const beside = button.parentElement.querySelector("pre, code, input");
  const text = button.dataset.copy || beside?.value || beside?.textContent || "";
  try {
    await navigator.clipboard.writeText(text.trim());
    showToast("Copied");
  } catch {
    getSelection().selectAllChildren(beside ?? button); // no permission: select it instead
    showToast("Selected. Press Ctrl+C to copy.");
  }
}

function switchTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax${secure}`;
}

function dismiss(button) {
  button.closest(".toast").remove();
  document.getElementById("main").focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  for (const [name, run] of [["copy", copy], ["dismiss", dismiss], ["theme-toggle", switchTheme]]) {
    const button = event.target.closest(`[data-${name}]`);
    if (button) run(button);
  }
  // one menu at a time, and none after a click elsewhere
  for (const menu of document.querySelectorAll(":is(.menu, .account-menu)[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

// ---- the first field that is wrong takes the focus ----
const focusError = (within) => within.querySelector("[aria-invalid=true], [data-problems]:not(:has(a))")?.focus();

document.addEventListener("htmx:after:swap", ({ detail }) => {
  const target = detail?.ctx?.target;
  if (target instanceof Element && target.isConnected && detail.ctx.sourceEvent?.type !== "every") focusError(target);
});
focusError(document);
