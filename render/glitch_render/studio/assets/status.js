/* What is being done, how far it is, and what went wrong. */
const status = element.querySelector(".status");
const bar = make("progress", { max: 1, "aria-label": "Progress" });
const text = make("span", {});
status.append(bar, text);

function show() {
  const { message = "", kind = "quiet", share = null } = props.value || {};
  status.dataset.kind = kind;
  bar.hidden = kind !== "working";
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  text.textContent = message;
}
watch("value", show);
show();
