// Whether the server still responds. The elements that htmx polls ("every", see templates/shared/live.html) share one state,
// html[data-live]: on; paused; held (nothing moves under the pointer); late (an answer is missing); out (signed out).
// While late or out, the buttons of posting forms are disabled. The next answer arms them again.
const root = document.documentElement;
const TIMEOUT = 10000; // ms: a server that doesn't respond holds one request, not one for each tick
let lastAnswer = Date.now();
let moved = 0; // when the pointer last moved
let pending = null; // the request that has no answer yet
let lateTimer = 0;
let focused = null;

const isPoll = (ctx) => ctx?.sourceEvent?.type === "every";
const isLost = () => root.dataset.live === "late" || root.dataset.live === "out";
const ANNOUNCEMENTS = { late: "Connection lost. Buttons will work again when the server responds.", out: "You're signed out.", on: "Live again." };

function age() {
  const seconds = Math.round((Date.now() - lastAnswer) / 1000);
  return seconds < 60 ? `${seconds} s` : seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}

function showState(signIn) {
  const words = { paused: "Paused", held: "Paused under the pointer", late: `Last update ${age()} ago`, out: "Signed out" }[root.dataset.live] ?? "";
  for (const label of document.querySelectorAll(".live .stale-label")) {
    if (label.firstChild?.data !== words) label.textContent = words;
    if (signIn) label.append(" ", Object.assign(document.createElement("a"), { className: "link", href: signIn, textContent: "Sign in" }));
  }
}

function setButtonsEnabled(on) {
  if (!on) focused = document.activeElement;
  for (const button of document.querySelectorAll("main :is(button, input[type=submit])")) {
    const posts = button.type === "submit" && button.form?.method === "post";
    if (on ? "unarmed" in button.dataset : posts && !button.disabled) {
      button.disabled = !on;
      button.toggleAttribute("data-unarmed", !on);
    }
  }
  if (on && document.activeElement === document.body) focused?.focus({ preventScroll: true });
}

function setState(state, signIn) {
  const before = root.dataset.live;
  const was = isLost();
  root.dataset.live = state;
  if (isLost() !== was) {
    setButtonsEnabled(was);
    for (const status of document.querySelectorAll(".live [role=status]")) status.textContent = ANNOUNCEMENTS[was ? "on" : state];
  }
  if (before !== state || signIn) showState(signIn);
}

function markAnswer(state = root.hasAttribute("data-paused") ? "paused" : "on") {
  lastAnswer = Date.now();
  setState(state);
}

function poll() {
  for (const element of document.querySelectorAll("[hx-trigger^='every ']")) element.dispatchEvent(new Event("every"));
}

// What must stay as it is: a field in use, a step in the air, the control under a pointer that moved just now.
function isBusy(target) {
  const edited = target.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
  const pointed = Date.now() - moved < 3000 && target.querySelector(":is(button, summary, a.button):hover");
  return edited || pointed || root.classList.contains("dragging");
}

document.addEventListener("htmx:config:request", (event) => {
  const { ctx } = event.detail;
  if (!isPoll(ctx)) return;
  const paused = root.hasAttribute("data-paused") && !isLost(); // keep asking a lost server, else its buttons stay off
  if (pending || document.hidden || paused) return event.preventDefault();
  pending = ctx;
  ctx.request.timeout = TIMEOUT;
  const period = parseFloat(ctx.sourceElement.getAttribute("hx-trigger").slice(6)) * 1000;
  lateTimer = setTimeout(() => setState("late"), period * 0.9);
});

document.addEventListener("htmx:after:request", (event) => {
  const { ctx } = event.detail;
  const { ok, status } = ctx.response.raw;
  if (!isPoll(ctx)) return ok && isLost() && markAnswer();
  clearTimeout(lateTimer);
  const target = ctx.target instanceof Element ? ctx.target : ctx.sourceElement;
  const paused = root.hasAttribute("data-paused");
  const unchanged = ok && (paused || isBusy(target));
  if (ok) markAnswer(unchanged && !paused ? "held" : undefined);
  else if (status === 401) setState("out", ctx.hx.redirect || "/sign-in"); // stay here: the page may hold typed text
  else setState("late");
  if (!ok || unchanged) event.preventDefault();
});

document.addEventListener("htmx:error", ({ detail }) => isPoll(detail.ctx) && setState("late"));
document.addEventListener("htmx:finally:request", ({ detail }) => {
  if (detail.ctx !== pending) return;
  clearTimeout(lateTimer);
  pending = null;
});

document.addEventListener("submit", (event) => {
  if (!isLost() || event.target.method !== "post" || !event.target.closest("main")) return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);
document.addEventListener("pointermove", () => { moved = Date.now(); }, { passive: true });
document.addEventListener("visibilitychange", () => document.hidden || poll());
document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-pause]");
  if (!button) return;
  const paused = root.toggleAttribute("data-paused");
  button.setAttribute("aria-pressed", String(paused));
  if (!paused) poll();
  if (!isLost()) setState(paused ? "paused" : "on");
});
setInterval(() => root.dataset.live === "late" && showState(), 1000);
if (window.htmx) root.dataset.live = "on"; // without it nothing is fetched again
