// Rows of a filter: [data-presses] names the button that draws its row again. A chosen field or operator presses it at
// once, a search after a pause or with Enter. Without this script the button is there to be pressed.
let pause = 0;

function press(control) {
  clearTimeout(pause);
  const button = document.getElementById(control.dataset.presses);
  if (button?.form && control.isConnected) button.form.requestSubmit(button);
}

document.addEventListener("change", ({ target }) => target.matches("select[data-presses]") && press(target));
document.addEventListener("input", ({ target }) => {
  if (!target.matches("input[data-presses]")) return;
  clearTimeout(pause);
  pause = setTimeout(press, 300, target);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.target.matches("input[data-presses]")) return;
  event.preventDefault();
  press(event.target);
});
