/* What was exported: it is saved at once, and can be saved again. */
const root = element.querySelector(".download");

function show() {
  const { address, name } = props.value || {};
  root.replaceChildren();
  if (!address) return;
  const link = make("a", { href: address, download: name }, `Save ${name}`);
  root.append(link);
  link.click();
}
watch("value", show);
