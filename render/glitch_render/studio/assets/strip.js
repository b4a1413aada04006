/* A row of small pictures to choose from. */
const strip = element.querySelector(".strip");

function show() {
  const { items = [], chosen = null } = props.value || {};
  strip.setAttribute("aria-label", props.label || "");
  // What is there is changed in place, so that a button keeps its focus as pictures come in
  while (strip.children.length > items.length) strip.lastChild.remove();
  items.forEach((item, index) => {
    let button = strip.children[index];
    if (!button) {
      button = make("button", { type: "button" }, make("img", { alt: "" }), make("span"));
      button.addEventListener("click", () => trigger("choose", { name: button.dataset.name }));
      strip.append(button);
    }
    const [image, name] = button.children;
    button.dataset.name = item.name;
    button.title = item.title || "";
    button.setAttribute("aria-pressed", String(item.name === chosen));
    if (item.image && image.getAttribute("src") !== item.image) image.src = item.image;
    if (!item.image) image.removeAttribute("src");
    button.classList.toggle("waiting", !item.image);
    name.textContent = item.label;
  });
}
watch("value", show);
show();
