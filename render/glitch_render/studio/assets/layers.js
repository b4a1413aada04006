/* The layers of the recipe, and a form for one of them. Every control comes from `form`, which is
   read from the models of recipes and effects: nothing here knows a setting by its name but those
   that stand in a layer's head. */
const root = element.querySelector(".layers");
const GROUPS = {
  grid: "Grid", reward: "What agents want", learning: "Learning", walk: "Agents",
  overlay: "Over what was before", clip: "Through time",
};
const list = make("ol", { class: "list", "aria-label": "Layers" });
const editor = make("div", { class: "editor" });
const hint = make("p", { class: "hint", "aria-hidden": "true" });
const add = make("button", { type: "button", class: "add", onclick: () => {
  recipe.layers.push(structuredClone(form.new_layer));
  pick(recipe.layers.length - 1);
  edited("");
} }, "Add a layer");
root.append(list, add, editor, hint);
let recipe = { layers: [] };
let chosen = 0;
let touched = "";
const opened = new Set(["effects", "walk"]);
let sent = 0;
const send = sparingly(() => {
  props.value = { recipe, layer: chosen, touched, sent: ++sent };
  trigger("edit");
}, 90);

function edited(what) {
  touched = what;
  send();
  heads();
}

function pick(index) {
  chosen = index;
  heads();
  draw();
}

function choose(index) {
  pick(index);
  props.value = { recipe, layer: chosen, touched, sent };
  trigger("select");
}

/* The heads of the layers */

function copy_sign() {
  const made = make("span", { class: "copy" });
  made.innerHTML = '<svg viewBox="0 0 16 16" width="13" height="13" fill="none" ' +
    'stroke="currentColor" stroke-width="1.6"><rect x="5.5" y="5.5" width="9" height="9" rx="1.5"/>' +
    '<path d="M10.5 2.8V2.5a1 1 0 0 0-1-1h-7a1 1 0 0 0-1 1v7a1 1 0 0 0 1 1h.3"/></svg>';
  return made;
}

function head(layer, index) {
  const effects = Object.keys(layer.effects).join(", ");
  const button = (label, sign, pressed, act, disabled = false) => make("button", {
    type: "button", title: label, "aria-label": `${label}: layer ${index + 1}`, disabled,
    "aria-pressed": pressed === null ? null : String(pressed), onclick: act,
  }, sign);
  const move = (by) => () => {
    const [moved] = recipe.layers.splice(index, 1);
    recipe.layers.splice(index + by, 0, moved);
    pick(index + by);
    edited("");
  };
  const size = Array.isArray(layer.grid) ? layer.grid.join("×") : "";
  return make("li", { class: [index === chosen ? "chosen" : "", left_out(layer) ? "silent" : ""].join(" ") },
    make("button", {
      type: "button", class: "name", "aria-current": index === chosen ? "true" : null,
      onclick: () => choose(index),
    }, make("b", {}, `${index + 1}`), make("span", {}, `${size} · ${effects}`)),
    make("span", { class: "acts" },
      button("Mute", "M", !!layer.mute, () => { layer.mute = !layer.mute; edited(""); }),
      button("Solo", "S", !!layer.solo, () => { layer.solo = !layer.solo; edited(""); }),
      button("Move up", "↑", null, move(-1), index === 0),
      button("Move down", "↓", null, move(1), index === recipe.layers.length - 1),
      button("Duplicate", copy_sign(), null, () => {
        recipe.layers.splice(index + 1, 0, structuredClone(layer));
        pick(index + 1);
        edited("");
      }),
      button("Remove", "✕", null, () => {
        recipe.layers.splice(index, 1);
        pick(Math.min(chosen > index ? chosen - 1 : chosen, recipe.layers.length - 1));
        edited("");
      }, recipe.layers.length === 1)));
}

function left_out(layer) {
  return layer.mute || (recipe.layers.some((one) => one.solo) && !layer.solo);
}

function heads() {
  const focused = document.activeElement && list.contains(document.activeElement)
    ? document.activeElement.getAttribute("aria-label") : null;
  list.replaceChildren(...recipe.layers.map(head));
  if (focused) {
    const again = [...list.querySelectorAll("button")]
      .find((one) => one.getAttribute("aria-label") === focused);
    if (again) again.focus();
  }
}

/* Controls */

function decimals(control) {
  if (control.whole) return 0;
  const [low, high] = control.span || [0, 1];
  return high - low <= 2.5 ? 2 : high - low <= 25 ? 1 : 0;
}

function to_slider(control, value) {
  const [low, high] = control.span;
  if (!control.log) return 1000 * (value - low) / (high - low);
  return 1000 * Math.log(Math.max(value, low) / low) / Math.log(high / low);
}

function from_slider(control, place) {
  const [low, high] = control.span;
  const share = place / 1000;
  const value = control.log ? low * (high / low) ** share : low + share * (high - low);
  if (control.log && value >= 100) {
    const unit = 10 ** (Math.floor(Math.log10(value)) - 1);
    return Math.round(value / unit) * unit;
  }
  if (control.step) return low + control.step * Math.round((value - low) / control.step);
  return Number(value.toFixed(decimals(control)));
}

let ids = 0;

function number_input(control, value, put, label) {
  const id = `control-${++ids}`;
  const box = make("input", {
    type: "number", id, value, step: control.step || (control.whole ? 1 : "any"), "aria-label": label,
    min: control.low, max: control.high,
    onchange: () => {
      if (box.value === "") { box.value = value; return; }
      value = Number(box.value);
      if (slider) slider.value = to_slider(control, value);
      put(value);
    },
  });
  let slider = null;
  if (control.span) {
    slider = make("input", {
      type: "range", min: 0, max: 1000, step: 1, value: to_slider(control, value),
      "aria-label": `${label}, slider`,
      oninput: () => {
        value = from_slider(control, Number(slider.value));
        box.value = value;
        slider.setAttribute("aria-valuetext", String(value));
        put(value);
      },
      onkeydown: (event) => {
        const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
        if (!way) return;
        // A press goes to the next value that there is, however far it is on the slider
        event.preventDefault();
        let place = Number(slider.value);
        const end = way > 0 ? 1000 : 0;
        while (place !== end && from_slider(control, place) === value) place += way;
        slider.value = place;
        slider.dispatchEvent(new Event("input"));
      },
    });
    slider.setAttribute("aria-valuetext", String(value));
  }
  return [slider, box];
}

function row(control, table, path, where) {
  const { name } = control;
  const label = where ? `${where}: ${control.label}` : control.label;
  const put = (value) => {
    if (value === undefined) delete table[name];
    else table[name] = value;
    edited(`${path}.${name}`);
    reset.hidden = same(value, control.default);
  };
  const same = (one, other) =>
    JSON.stringify(one === undefined ? null : one) === JSON.stringify(other);
  const reset = make("button", {
    type: "button", class: "reset", title: "Back to the default", "aria-label": `Reset ${label}`,
    onclick: () => {
      put(control.default === null ? undefined : structuredClone(control.default));
      made.replaceWith(row(control, table, path, where));
    },
  }, "↺");
  const value = table[name];
  reset.hidden = name === "grid" || same(value, control.default);
  const made = make("div", {
    class: `row ${control.kind}`, "data-name": name,
    onpointerenter: () => { hint.textContent = `${control.label}: ${control.help}`; },
    onfocusin: () => { hint.textContent = `${control.label}: ${control.help}`; },
  });
  made.append(make("span", { class: "label", title: control.help }, control.label));
  const again = () => made.replaceWith(row(control, table, path, where));
  const field = make("span", { class: "field" });
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    field.append(
      make("em", {}, "changes over time; edit it in the recipe"),
      make("button", { type: "button", onclick: () => {
        const [first] = Object.values(value).filter((one) => typeof one === "number").slice(-1);
        put(first ?? control.default);
        again();
      } }, "make it one value"));
  } else if (control.optional && value === undefined) {
    field.append(make("button", { type: "button", class: "set", "aria-label": `Set ${label}`,
      onclick: () => {
        const [low, high] = control.span || [0, 0];
        const number = control.log ? from_slider(control, 500) : (low + high) / 2;
        put(control.kind === "pair" ? [low, high] : control.kind === "text" ? "" : number);
        again();
      } }, control.kind === "text" ? "choose…" : "off"));
  } else if (control.kind === "switch") {
    const box = make("input", { type: "checkbox", "aria-label": label,
      onchange: () => put(box.checked) });
    box.checked = !!value;
    field.append(box);
  } else if (control.kind === "choice") {
    const select = make("select", { "aria-label": label, onchange: () => {
      put(control.choices.find((one) => String(one) === select.value));
    } }, ...control.choices.map((one) =>
      make("option", { value: one, selected: one === value }, String(one).replaceAll("_", " "))));
    field.append(select);
  } else if (control.kind === "text") {
    const suggestions = `choices-${++ids}`;
    const box = make("input", { type: "text", value: value || "", "aria-label": label,
      list: control.choices.length ? suggestions : null, spellcheck: "false",
      onchange: () => put(box.value === "" && control.optional ? undefined : box.value) });
    field.append(box);
    if (control.choices.length) {
      field.append(make("datalist", { id: suggestions },
        ...control.choices.map((one) => make("option", { value: one }))));
    }
    if (control.file) {
      const file = make("input", { type: "file", accept: "image/*", "aria-label": `${label}, file`,
        onchange: async () => {
          if (!file.files.length) return;
          const sent = new FormData();
          sent.append("files", file.files[0]);
          const kept = await (await fetch("mask", { method: "POST", body: sent })).json();
          if (kept.path) { put(kept.path); again(); }
          else { hint.textContent = kept.error; }
        } });
      field.append(file);
    }
  } else if (control.kind === "pair") {
    const parts = name === "grid" ? ["rows", "columns"] : ["from", "to"];
    parts.forEach((part, index) => field.append(make("span", { class: "part" },
      make("small", {}, part),
      ...number_input(control, value[index], (one) => {
        const pair = [...table[name]];
        pair[index] = one;
        put(pair);
      }, `${label}, ${part}`))));
  } else {
    field.append(...number_input(control, value, put, label).filter((one) => one));
  }
  if (control.optional && value !== undefined && control.kind !== "text") {
    field.append(make("button", { type: "button", class: "off", "aria-label": `Unset ${label}`,
      title: "Leave it open", onclick: () => { put(undefined); again(); } }, "✕"));
  }
  made.append(field, reset);
  return made;
}

/* The form of the chosen layer */

function section(id, title, ...content) {
  const details = make("details", { "data-group": id, ontoggle: () => {
    if (details.open) opened.add(id);
    else opened.delete(id);
  } }, make("summary", {}, title), ...content);
  details.open = opened.has(id);
  return details;
}

function effect_box(layer, name) {
  const known = form.effects[name];
  const table = layer.effects[name];
  const path = `layers.${chosen}.effects.${name}`;
  const [own, reward] = [[], []];
  for (const control of known ? known.controls : []) {
    (control.group === "reward" ? reward : own).push(control);
  }
  const last = Object.keys(layer.effects).length === 1;
  return make("fieldset", { "data-effect": name },
    make("legend", {}, name.replaceAll("_", " ")),
    make("button", { type: "button", class: "remove", disabled: last,
      "aria-label": `Remove effect ${name}`, title: "Remove the effect",
      onclick: () => { delete layer.effects[name]; draw(); edited(""); } }, "✕"),
    make("p", { class: "summary" }, known ? known.summary : ""),
    ...[...reward, ...own].map((control) => row(control, table, path, name)));
}

function draw() {
  const layer = recipe.layers[chosen];
  const at = editor.scrollTop;
  if (!layer) { editor.replaceChildren(); return; }
  const unused = Object.keys(form.effects).filter((name) => !(name in layer.effects));
  const more = make("select", { "aria-label": "Add an effect", onchange: () => {
    const name = more.value;
    const table = {};
    for (const control of form.effects[name].controls) {
      if (control.default !== null) table[control.name] = structuredClone(control.default);
    }
    layer.effects[name] = table;
    draw();
    edited("");
  } }, make("option", { value: "" }, "Add an effect…"),
  ...unused.map((name) => make("option", { value: name, title: form.effects[name].summary },
    `${name.replaceAll("_", " ")}: ${form.effects[name].summary}`)));
  const groups = {};
  for (const control of form.layer) (groups[control.group] ||= []).push(control);
  const order = Object.keys(GROUPS).filter((id) => id in groups);
  order.push(...Object.keys(groups).filter((id) => !(id in GROUPS)));
  const shown = ["walk", ...order.filter((id) => id !== "walk")];
  editor.replaceChildren(
    section("effects", "Effects",
      ...Object.keys(layer.effects).map((name) => effect_box(layer, name)), more),
    ...shown.map((id) => section(id, GROUPS[id] || id,
      ...groups[id].map((control) => row(control, layer, `layers.${chosen}`, "")))),
    section("subject", "Where the subject is, for all layers",
      ...form.recipe.map((control) => row(control, recipe, "recipe", ""))));
  editor.scrollTop = at;
}

function show() {
  const given = props.value || {};
  if (!given.recipe) return;
  recipe = structuredClone(given.recipe);
  chosen = Math.min(given.layer || 0, recipe.layers.length - 1);
  heads();
  draw();
}
watch("value", show);
show();
