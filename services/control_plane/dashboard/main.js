// The page: who is logged in, which view is shown, in which language, and what goes wrong.

import { accountsView } from "./accounts.js";
import { get, onState, post, signedIn } from "./api.js";
import { closeDialogs, formDialog } from "./dialogs.js";
import { button, el, field, owner } from "./dom.js";
import { clock } from "./figure_words.js";
import { language, otherLanguage, sentence, setLanguage, t } from "./i18n.js";
import { loginView } from "./login.js";
import { backOffMs } from "./poll.js";
import { noProblem, onProblems, problem } from "./problems.js";
import { siteView } from "./site.js";
import { sitesView } from "./sites.js";

const [bar, banner, main] = ["bar", "banner", "main"].map((id) => document.getElementById(id));
const ENTRY = Symbol("who is logged in");
const EXIT = Symbol("log out");
let account = null;
let view = null;
let asking = 0;

onProblems((open) => {
  banner.hidden = !open.length;
  const oldest = Math.min(...open.map((one) => one.sinceMs ?? Infinity));
  const age = Number.isFinite(oldest) ? t("away.since", { time: clock(oldest) }) : "";
  const text = open.length ? [...new Set(open.map((one) => one.message)), age].join(" ").trim() : "";
  if (banner.textContent !== text) banner.textContent = text; // each change is read out
});

onState({
  signedOut() {
    forget();
    show();
  },
  otherAccount(who) {
    forget();
    notice(t("other.title"), t("other.text", { name: who.name }), t("other.go_on", { name: who.name }));
  },
});

/** Ask who is logged in until there is an answer. */
async function begin(failures = 0) {
  clearTimeout(asking);
  draw();
  try {
    enter(await get("/v1/me"));
  } catch (error) {
    if (error.status === undefined) throw error;
    if (error.status === 401) {
      noProblem(ENTRY);
      forget();
      show();
    } else {
      problem(ENTRY, `${sentence(error.message)} ${t("away.again")}`);
      asking = setTimeout(() => begin(failures + 1), Math.max(backOffMs(failures + 1), error.retryMs));
    }
  }
}

function enter(who) {
  noProblem(ENTRY);
  account = who;
  signedIn(who);
  show();
}

function forget() {
  account = null;
  signedIn(null);
}

/** Show what the address asks for, to whoever is logged in. */
function show() {
  leaveView();
  draw();
  main.replaceChildren();
  const [, kind, name] = location.hash.split("/");
  if (!account) view = loginView(main, enter);
  else if (kind === "site" && name) view = siteView(main, decoded(name), account, refused(decoded(name)));
  else if (kind === "accounts" && account.role === "admin") {
    view = accountsView(main, account, refused(t("accounts.title")));
  } else view = sitesView(main, account, refused(t("sites.title")));
  entitle();
}

function leaveView() {
  view?.stop();
  view = null;
  noProblem(EXIT);
  closeDialogs();
}

function entitle() {
  document.title = `${main.querySelector("h1")?.textContent ?? ""} · Unísono`;
}

/** What a view calls that may not be seen, or that is about nothing: what it showed goes. */
const refused = (title) => (error) => notice(title, error.message, t("page.again"));

/** A sentence in place of a view, and a way on. */
function notice(title, text, way) {
  leaveView();
  draw();
  const on = button(way, () => begin(), { class: "primary", id: "go-on" });
  main.replaceChildren(el("section", { class: "panel notice" }, el("h1", { text: title }),
    el("p", { class: "problem", role: "alert", text: sentence(text) }), el("div", { class: "actions" }, on)));
  entitle();
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
    if (error.status !== 401) {
      problem(EXIT, `${t("login.still_in")} ${sentence(error.message)}`);
      return;
    }
  }
  forget();
  history.replaceState(null, "", "#/");
  show();
  main.querySelector("input")?.focus();
}

function changePassword() {
  const old = el("input", { type: "password", autocomplete: "current-password", required: true });
  const fresh = el("input", { type: "password", autocomplete: "new-password", required: true });
  return formDialog({
    title: t("password.title"),
    content: [owner(account.name), field(t("password.old"), old), field(t("password.new"), fresh)],
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
