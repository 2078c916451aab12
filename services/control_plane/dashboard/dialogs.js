// Dialogs: the browser's own modal ones, which keep the focus inside and give it back at the end.

import { button, el } from "./dom.js";
import { t } from "./i18n.js";

let titles = 0; // a dialog may stand above another one

function titled(text) {
  titles += 1;
  return el("h2", { id: `dialog-title-${titles}`, text });
}

/**
 * Open a form in a dialog. `submit` may throw: its sentence is shown and the dialog stays, as it
 * does when that returns null. Resolves to what `submit` returned, or null when the dialog was left.
 */
export function formDialog({ title, content, action, submit, danger = false, wide = false }) {
  return new Promise((resolve) => {
    const problem = el("p", { class: "problem", role: "alert" });
    const send = el("button", { type: "submit", class: danger ? "danger" : "primary", text: action });
    const leave = button(t("dialog.cancel"), () => dialog.close());
    const heading = titled(title);
    const form = el("form", { novalidate: true }, heading, content, problem,
      el("div", { class: "actions" }, leave, send));
    const dialog = el("dialog", { class: wide ? "wide" : "", "aria-labelledby": heading.id }, form);
    let result = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!form.checkValidity()) {
        form.reportValidity();
        return;
      }
      problem.textContent = "";
      send.disabled = true;
      try {
        result = await submit();
        if (result !== null) dialog.close();
      } catch (error) {
        problem.textContent = error.message;
      } finally {
        send.disabled = false;
      }
    });
    show(dialog, () => resolve(result));
    if (danger) leave.focus();
  });
}

/** Ask before something that cannot be undone; resolves like `formDialog`. */
export function confirmDialog({ title, text, action, submit, danger = true }) {
  return formDialog({ title, content: el("p", { text }), action, submit, danger });
}

/** Show something that is shown once only, such as a secret. */
export function tell({ title, text, lines }) {
  return new Promise((resolve) => {
    const heading = titled(title);
    const all = el("textarea", {
      readonly: true, rows: Math.min(10, lines.length), class: "secret", "aria-label": title,
    });
    all.value = lines.join("\n");
    const copied = el("span", { role: "status" });
    const copy = button(t("dialog.copy"), async () => {
      all.select();
      try {
        await navigator.clipboard.writeText(all.value);
        copied.textContent = t("dialog.copied");
      } catch {
        copied.textContent = t("dialog.copy_yourself");
      }
    });
    const close = button(t("dialog.close"), () => dialog.close(), { class: "primary" });
    const dialog = el("dialog", { "aria-labelledby": heading.id }, heading, el("p", { text }), all,
      el("div", { class: "actions" }, copied, copy, close));
    show(dialog, () => resolve());
  });
}

function show(dialog, done) {
  dialog.addEventListener("close", () => {
    dialog.remove();
    done();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** Close whatever dialog is open: the view below it is going away. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
}
