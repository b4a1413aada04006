/* The picture: beside what it was before, alone, or as a clip. */
const stage = element.querySelector(".stage");
const before = make("img", { class: "before", alt: "The picture before", draggable: "false" });
const after = make("img", { class: "after", alt: "The picture as it is now", draggable: "false" });
const line = make("div", { class: "line", "aria-hidden": "true" });
const split = make("input", {
  type: "range", class: "split", min: 0, max: 100, step: 0.5, value: 0,
  "aria-label": "Before and after: how much of the picture is shown as it was",
  oninput: place,
});
const clip = make("video", { controls: true, loop: true, autoplay: true, playsinline: true });
clip.muted = true;
const box = make("div", { class: "box" }, before, after, line, split);
const empty = make(
  "p", { class: "empty" },
  make("strong", {}, "Drop a photograph, a GIF or a clip here"),
  make("span", {}, "or choose one under Picture"),
);
const whole = make("button", {
  type: "button", class: "whole", "aria-pressed": "false", title: "Show pixels at their own size",
  onclick: () => {
    const real = stage.classList.toggle("real");
    whole.setAttribute("aria-pressed", String(real));
    fit();
  },
}, "1:1");
stage.append(empty, box, clip, whole);
try {
  // As a length, it can be read in pixels whatever the style sheet computes it from
  CSS.registerProperty({ name: "--tall", syntax: "<length>", inherits: true, initialValue: "460px" });
} catch {
  // Registered before
}
let shown = {};
let asked = 0;

function place() {
  const share = split.value;
  after.style.clipPath = `inset(0 0 0 ${share}%)`;
  line.style.left = `${share}%`;
  box.classList.toggle("split-shown", share > 0 && share < 100);
  split.setAttribute("aria-valuetext", `${Math.round(share)} % as it was`);
}

function fit() {
  if (!shown.width) return;
  const real = stage.classList.contains("real");
  const room = stage.getBoundingClientRect().width;
  const tall = Math.max(200, parseFloat(getComputedStyle(stage).getPropertyValue("--tall")));
  const scale = real ? 1 / devicePixelRatio : Math.min(room / shown.width, tall / shown.height);
  for (const one of [box, clip]) {
    one.style.width = `${shown.width * scale}px`;
    one.style.height = `${shown.height * scale}px`;
  }
}

async function loaded(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
}

async function show() {
  const wanted = props.value || {};
  if (wanted.number && wanted.number === shown.number) return;
  const number = ++asked;
  if (wanted.kind === "compare" || wanted.kind === "picture") {
    // Fetched before it is shown, so that the picture never blinks
    try {
      await Promise.all([loaded(wanted.image), wanted.before ? loaded(wanted.before) : null]);
    } catch {
      return;
    }
    if (number !== asked) return;
    after.src = wanted.image;
    if (wanted.before) before.src = wanted.before;
  }
  shown = wanted;
  stage.dataset.kind = wanted.kind || "empty";
  stage.dataset.number = wanted.number || 0;
  before.hidden = line.hidden = split.hidden = wanted.kind !== "compare";
  if (wanted.kind !== "compare") after.style.clipPath = "none";
  else place();
  if (wanted.kind === "clip") clip.src = wanted.image;
  else clip.removeAttribute("src");
  fit();
}

/* A file that is dropped anywhere goes to the upload, which alone knows what to do with it. */
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer || ![...event.dataTransfer.types].includes("Files")) return;
    const zone = event.target.closest && event.target.closest("#recipe-file, #source");
    stage.classList.toggle("dropping", kind === "dragover" && !zone);
    if (zone) return;
    event.preventDefault();
    if (kind !== "drop" || !event.dataTransfer.files.length) return;
    const input = document.querySelector("#source input[type=file]");
    if (!input) return;
    const chosen = new DataTransfer();
    chosen.items.add(event.dataTransfer.files[0]);
    input.files = chosen.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("textarea, input[type=text], input[type=number]");
  if (typing || !(event.ctrlKey || event.metaKey)) return;
  const key = event.key.toLowerCase();
  const name = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : "";
  const button = name && document.querySelector(`#${name}`);
  if (!button) return;
  event.preventDefault();
  button.click();
});
// Its height is what fit() makes it: only another width is a reason to fit again
let wide = 0;
new ResizeObserver(([entry]) => {
  const width = Math.round(entry.contentRect.width);
  if (width === wide) return;
  wide = width;
  fit();
}).observe(stage);
window.addEventListener("resize", fit);
watch("value", show);
show();
