/* What was exported: it is saved at once, and can be saved again. */
const root = element.querySelector(".download");
let saved = null;

function show() {
  const { address, name } = props.value || {};
  root.replaceChildren();
  if (!address) return;
  const link = make("a", { href: address, download: name }, `Save ${name}`);
  root.append(link);
  // Once for each export, however often the page is told of it
  if (saved === address) return;
  saved = address;
  link.click();
}
watch("value", show);
