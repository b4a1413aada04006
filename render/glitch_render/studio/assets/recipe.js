/* The recipe as text, with what is wrong with it at its line. */
const root = element.querySelector(".recipe");
const numbers = make("div", { class: "numbers", "aria-hidden": "true" });
const area = make("textarea", {
  spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "off", rows: 24,
  "aria-label": "Recipe, as TOML", "aria-describedby": "recipe-problems",
});
const problems = make("ul", { id: "recipe-problems", class: "problems", role: "alert" });
root.append(make("div", { class: "lines" }, numbers, area), problems);
let wrong = [];

function count() {
  const lines = area.value.split("\n").length;
  const marked = new Set(wrong.map((one) => one.line));
  numbers.replaceChildren(
    ...Array.from({ length: lines }, (_, index) =>
      make("span", { class: marked.has(index + 1) ? "wrong" : null }, String(index + 1))),
  );
  numbers.scrollTop = area.scrollTop;
}

function go(line) {
  const lines = area.value.split("\n");
  const begin = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  area.focus();
  area.setSelectionRange(begin, begin + (lines[line - 1] || "").length);
  const each = area.scrollHeight / Math.max(1, lines.length);
  area.scrollTop = Math.max(0, (line - 6) * each);
}

let sending = null;
let sent = 0;
area.addEventListener("input", () => {
  count();
  clearTimeout(sending);
  sending = setTimeout(() => {
    props.value = { text: area.value, problems: wrong, sent: ++sent };
    trigger("edit");
  }, 350);
});
area.addEventListener("scroll", () => { numbers.scrollTop = area.scrollTop; });

function show() {
  const { text = "", problems: found = [], own = false } = props.value || {};
  // What comes back of one's own typing must not undo what was typed since
  if (!own && area.value !== text) area.value = text;
  wrong = found;
  area.setAttribute("aria-invalid", String(wrong.length > 0));
  problems.replaceChildren(...wrong.map((one) =>
    make("li", {}, one.line
      ? make("button", { type: "button", onclick: () => go(one.line) }, `line ${one.line}`)
      : null, make("span", {}, one.message))));
  count();
}
watch("value", show);
show();
