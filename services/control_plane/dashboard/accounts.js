// Administrators: who may log in, and what they may do.

import { get, patch, post, remove, segment } from "./api.js";
import { confirmDialog, formDialog } from "./dialogs.js";
import { button, el, field, keyed, owner, say, select } from "./dom.js";
import { t } from "./i18n.js";
import { every } from "./poll.js";
import { dateAndTime, word } from "./figure_words.js";

const PERIOD_MS = 10_000;
const ROLES = ["operator", "admin"];

export function accountsView(main, account, refused) {
  const list = el("ul", { class: "cards", id: "accounts" });
  const fresh = button(t("accounts.new"), () => done(newAccount()), { class: "primary", id: "new-account" });
  main.replaceChildren(el("div", { class: "page-head" }, el("h1", { text: t("accounts.title") }), fresh), list);
  const poll = every(PERIOD_MS, async () => {
    const { accounts } = await get("/v1/accounts");
    keyed(list, accounts, (one) => one.name, create, update);
  }, refused);

  async function done(asked) {
    if (await asked) poll.now();
  }

  function create({ name }) {
    const card = el("li", { class: "card" }, el("strong", { text: name }), el("span", { class: "badge" }),
      el("p", { class: "sites" }), el("small", { class: "hint" }));
    const edit = button(t("accounts.edit"), () => done(editAccount(card.account)), {
      "aria-label": `${t("accounts.edit")} ${name}`,
    });
    const drop = button(t("accounts.remove"), () => done(removeAccount(name)), {
      class: "danger", "aria-label": `${t("accounts.remove")} ${name}`,
    });
    card.append(el("div", { class: "actions" }, edit, name === account.name ? null : drop));
    return card;
  }

  return poll;
}

function update(card, one) {
  card.account = one;
  const badge = card.querySelector(".badge");
  badge.dataset.kind = one.disabled ? "failed" : one.role;
  say(badge, one.disabled ? t("accounts.disabled") : word("account", one.role));
  say(card.querySelector(".sites"), one.sites.length ? one.sites.join(", ") : t("accounts.all_sites"));
  say(card.querySelector("small"), one.created_ms ? t("accounts.made", {
    time: dateAndTime(one.created_ms), who: one.created_by || "–",
  }) : "");
}

function newAccount() {
  const name = el("input", { id: "account-name", required: true, autocomplete: "off", autocapitalize: "none" });
  const form = fields({ role: "operator", sites: [] }, true);
  return formDialog({
    title: t("accounts.new"),
    content: [field(t("login.name"), name, t("sites.name_hint")), ...form.content],
    action: t("accounts.make"),
    submit: () => post("/v1/accounts", { name: name.value.trim(), ...form.values() }),
  });
}

function editAccount(one) {
  const form = fields(one, false);
  const state = select([["", t("accounts.enabled")], ["1", t("accounts.disabled")]]);
  state.value = one.disabled ? "1" : "";
  return formDialog({
    title: t("accounts.edit_one", { name: one.name }),
    content: [owner(one.name), ...form.content, field(t("accounts.state"), state)],
    action: t("accounts.save"),
    async submit() {
      const changes = changed(one, { ...form.values(), disabled: state.value === "1" });
      return Object.keys(changes).length ? patch(`/v1/accounts/${segment(one.name)}`, changes) : one;
    },
  });
}

/** What the form says otherwise than it was filled with: of the rest somebody else may know better. */
function changed(one, values) {
  const text = (value) => JSON.stringify(Array.isArray(value) ? [...value].sort() : value);
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => text(value) !== text(one[name])));
}

function fields(one, needed) {
  const role = select(ROLES.map((name) => [name, word("account", name)]), { id: "account-role" });
  role.value = one.role;
  const sites = el("input", { id: "account-sites", autocomplete: "off", autocapitalize: "none" });
  sites.value = one.sites.join(", ");
  const password = el("input", {
    id: "account-password", type: "password", autocomplete: "new-password", required: needed,
  });
  return {
    content: [field(t("login.password"), password, needed ? "" : t("accounts.keep_password")),
      field(t("accounts.role"), role), field(t("accounts.sites"), sites, t("accounts.sites_hint"))],
    values: () => ({
      role: role.value,
      sites: sites.value.split(/[\s,]+/).filter(Boolean),
      ...(password.value ? { password: password.value } : {}),
    }),
  };
}

function removeAccount(name) {
  return confirmDialog({
    title: t("accounts.remove_one", { name }), text: t("accounts.remove_text"),
    action: t("accounts.remove"), submit: () => remove(`/v1/accounts/${segment(name)}`).then(() => true),
  });
}
