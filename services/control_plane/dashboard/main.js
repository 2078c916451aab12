// The page: who is logged in, which view is shown, in which language, and whether anybody answers.

import { accountsView } from "./accounts.js";
import { ApiError, Away, get, onState, post, signedIn } from "./api.js";
import { closeDialogs, formDialog } from "./dialogs.js";
import { button, el, field } from "./dom.js";
import { language, otherLanguage, setLanguage, t } from "./i18n.js";
import { loginView } from "./login.js";
import { siteView } from "./site.js";
import { sitesView } from "./sites.js";

const AGAIN_MS = 2000;
const [bar, banner, main] = ["bar", "banner", "main"].map((id) => document.getElementById(id));
let account = null;
let view = null;

onState({
  away(message) {
    banner.textContent = `${message} ${t("away.again")}`;
    banner.hidden = false;
  },
  back() {
    banner.hidden = true;
  },
  signedOut() {
    account = null;
    show();
  },
});

/** Ask who is logged in until there is an answer. */
async function begin() {
  draw();
  try {
    enter(await get("/v1/me"));
  } catch (error) {
    if (error instanceof Away) setTimeout(begin, AGAIN_MS);
    else if (error instanceof ApiError) {
      account = null;
      show();
    } else throw error;
  }
}

function enter(who) {
  account = who;
  signedIn(who);
  show();
}

/** Show what the address asks for, to whoever is logged in. */
function show() {
  view?.stop();
  closeDialogs();
  draw();
  main.replaceChildren();
  const [, kind, name] = location.hash.split("/");
  if (!account) view = loginView(main, enter);
  else if (kind === "site" && name) view = siteView(main, decoded(name), account);
  else if (kind === "accounts" && account.role === "admin") view = accountsView(main, account);
  else view = sitesView(main, account);
  document.title = `${main.querySelector("h1")?.textContent ?? ""} · Unísono`;
}

function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function draw() {
  document.documentElement.lang = language();
  document.getElementById("skip").textContent = t("page.skip");
  const links = account ? [link("#/", t("sites.title")),
    account.role === "admin" ? link("#/accounts", t("accounts.title")) : null] : [];
  const tongue = button(t("page.language"), switchLanguage, {
    lang: otherLanguage(), id: "language", class: "quiet",
  });
  const who = account ? [
    button(account.name, changePassword, { id: "me", class: "quiet", title: t("password.title") }),
    button(t("login.out"), leave, { id: "logout", class: "quiet" }),
  ] : [];
  bar.replaceChildren(
    el("a", { class: "brand", href: "#/" }, el("span", { class: "mark", "aria-hidden": "true" }),
      el("span", { text: "Unísono" })),
    el("nav", { "aria-label": t("page.navigation") }, links),
    el("div", { class: "who" }, who, tongue),
  );
}

function link(href, text) {
  const here = (location.hash || "#/") === href;
  return el("a", { href, text, "aria-current": here ? "page" : null });
}

function switchLanguage() {
  setLanguage(otherLanguage());
  show();
  document.getElementById("language").focus();
}

async function leave() {
  try {
    await post("/v1/logout");
  } catch (error) {
    if (error instanceof Away) return;  // the banner says so; the login is still open
  }
  account = null;
  history.replaceState(null, "", "#/");
  show();
  main.querySelector("input")?.focus();
}

function changePassword() {
  const old = el("input", { type: "password", autocomplete: "current-password", required: true });
  const fresh = el("input", { type: "password", autocomplete: "new-password", required: true });
  return formDialog({
    title: t("password.title"),
    content: [field(t("password.old"), old), field(t("password.new"), fresh)],
    action: t("password.change"),
    async submit() {
      await post("/v1/me/password", { old: old.value, new: fresh.value });
      begin();  // every other login of this account has ended; this one may be new
    },
  });
}

addEventListener("hashchange", () => {
  show();
  main.focus();
});
begin();
