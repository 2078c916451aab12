// All sites: how many devices are there, and what plays.

import { get, segment } from "./api.js";
import { button, el, field, keyed, say } from "./dom.js";
import { t } from "./i18n.js";
import { every } from "./poll.js";
import { enrolDevices } from "./enrol.js";
import { formDialog } from "./dialogs.js";
import { word } from "./figure_words.js";

const PERIOD_MS = 10_000;
const PAGE = 100;

export function sitesView(main, account, refused) {
  const list = el("ul", { class: "cards", id: "sites" });
  const empty = el("p", { class: "hint", hidden: true, text: t("sites.none") });
  let pages = 1; // as many as were asked for by hand
  const more = button(t("sites.more"), () => {
    pages += 1;
    poll.now();
  }, { id: "sites-more", hidden: true });
  const fresh = account.role === "admin"
    ? button(t("sites.new"), newSite, { id: "new-site" }) : null;
  main.replaceChildren(
    el("div", { class: "page-head" }, el("h1", { text: t("sites.title") }), fresh), empty, list, more,
  );
  const poll = every(PERIOD_MS, async () => {
    const { sites, next } = await pagesOf(pages);
    empty.hidden = sites.length > 0;
    more.hidden = !next;
    keyed(list, sites, (site) => site.site, create, update);
  }, refused);
  return poll;
}

/** The first pages of the list: each site is in one of them. */
async function pagesOf(count) {
  const sites = [];
  let next = null;
  for (let page = 0; page < count && (page === 0 || next); page += 1) {
    const found = await get(`/v1/sites?limit=${PAGE}${next ? `&after=${segment(next)}` : ""}`);
    sites.push(...found.sites);
    next = found.next ?? null;
  }
  return { sites, next };
}

function create({ site }) {
  return el("li", { class: "card" },
    el("a", { class: "card-link", href: `#/site/${segment(site)}`, text: site }),
    el("p", { class: "seen" }), el("ul", { class: "plain" }));
}

function update(card, site) {
  say(card.querySelector(".seen"), t("sites.seen", { seen: site.devices_seen, all: site.devices }));
  card.querySelector(".seen").classList.toggle("bad", site.devices_seen < site.devices);
  const sessions = site.sessions.length ? site.sessions : [{ session_id: "", state: "idle" }];
  keyed(card.querySelector("ul"), sessions, (session) => session.session_id,
    () => el("li", {}, el("span", { class: "badge" }), el("span", { class: "hint" })),
    (line, session) => {
      const [badge, more] = line.children;
      badge.dataset.kind = session.state;
      say(badge, word("state", session.state));
      say(more, session.master_device_id
        ? t("sites.led", { master: session.master_device_id, term: session.term }) : "");
    });
}

async function newSite() {
  const name = el("input", { required: true, pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]{0,31}" });
  const site = await formDialog({
    title: t("sites.new"),
    content: field(t("sites.name"), name, t("sites.name_hint")),
    action: t("dialog.next"),
    submit: async () => name.value,
  });
  if (site) await enrolDevices(site);
}
