// Building and updating the page. Text always goes in as text, never as markup.

/** An element. `attributes` may hold `text`, `on` (listeners by event) and properties of ARIA. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    const aria = name.startsWith("aria-"); // there "false" is a value, and "true" a word
    if (value === null || value === undefined || (value === false && !aria)) continue;
    if (name === "text") made.textContent = value;
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else made.setAttribute(name, value === true && !aria ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** A button that does something. */
export function button(text, action, attributes = {}) {
  return el("button", { type: "button", text, on: { click: action }, ...attributes });
}

/** Set the text of an element only when it changed, so that a selection or a reader stays put. */
export function say(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/**
 * Make the children of `parent` follow `items`: one child for each key, kept while the key is
 * there. What has the keyboard's focus is not built anew by a poll.
 */
export function keyed(parent, items, keyOf, create, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    if (child) old.delete(key);
    else {
      child = create(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const gone of old.values()) gone.remove();
}

let labels = 0;

/** A label with its control, and a hint below it. */
export function field(text, control, hint = "") {
  labels += 1;
  control.id = control.id || `field-${labels}`;
  const below = hint ? el("small", { id: `${control.id}-hint`, class: "hint", text: hint }) : null;
  if (below) control.setAttribute("aria-describedby", below.id);
  return el("div", { class: "field" }, el("label", { for: control.id, text }), control, below);
}

/** Whose password a form is about, which a keeper of passwords must know. */
export const owner = (name) => el("input", { type: "text", autocomplete: "username", value: name, hidden: true });

/** A checkbox with its label behind it. */
export function checkbox(text, attributes = {}) {
  const box = el("input", { type: "checkbox", ...attributes });
  return { box, row: el("label", { class: "check" }, box, el("span", { text })) };
}

/** A select; `options` are [value, text] pairs. */
export function select(options, attributes = {}) {
  return el("select", attributes, options.map(([value, text]) => el("option", { value, text })));
}

/** A panel of the page with its heading; `tools` stand beside the heading. */
export function panel(id, title, ...tools) {
  const body = el("div", { class: "panel-body" });
  const heading = el("h2", { id: `${id}-title`, text: title });
  const head = el("div", { class: "panel-head" }, heading, el("div", { class: "tools" }, tools));
  const root = el("section", { id, class: "panel", "aria-labelledby": heading.id }, head, body);
  return { root, body, heading };
}
