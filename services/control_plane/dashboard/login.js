// The login form.

import { post } from "./api.js";
import { el, field } from "./dom.js";
import { t } from "./i18n.js";

export function loginView(main, enter) {
  const name = el("input", {
    id: "login-name", autocomplete: "username", autocapitalize: "none", spellcheck: "false",
    required: true,
  });
  const password = el("input", {
    id: "login-password", type: "password", autocomplete: "current-password", required: true,
  });
  const problem = el("p", { class: "problem", role: "alert", id: "login-problem" });
  const send = el("button", { type: "submit", class: "primary", text: t("login.in") });
  const form = el("form", { class: "login panel", novalidate: true },
    el("h1", { text: t("login.title") }), el("p", { class: "hint", text: t("login.hint") }),
    field(t("login.name"), name), field(t("login.password"), password), problem, send);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!form.checkValidity()) {
      form.reportValidity();
      return;
    }
    problem.textContent = "";
    send.disabled = true;
    try {
      enter(await post("/v1/login", { name: name.value.trim(), password: password.value }));
    } catch (error) {
      problem.textContent = error.message;
      password.select();
      password.focus();
    } finally {
      send.disabled = false;
    }
  });
  main.replaceChildren(form);
  name.focus();
  return { stop() {} };
}
