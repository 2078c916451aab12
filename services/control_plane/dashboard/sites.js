// All sites: how many devices are there, and what plays.

import { get, segment } from "./api.js";
import { el, keyed, say } from "./dom.js";
import { t } from "./i18n.js";
import { every } from "./poll.js";
import { enrolDevices } from "./enrol.js";
import { button, field } from "./dom.js";
import { formDialog } from "./dialogs.js";
import { word } from "./figure_words.js";

const PERIOD_MS = 5000;

export function sitesView(main, account) {
  const list = el("ul", { class: "cards", id: "sites" });
  const empty = el("p", { class: "hint", hidden: true, text: t("sites.none") });
  const fresh = account.role === "admin"
    ? button(t("sites.new"), newSite, { id: "new-site" }) : null;
  main.replaceChildren(
    el("div", { class: "page-head" }, el("h1", { text: t("sites.title") }), fresh), empty, list,
  );
  const poll = every(PERIOD_MS, async () => {
    const { sites } = await get("/v1/sites");
    empty.hidden = sites.length > 0;
    keyed(list, sites, (site) => site.site, create, update);
  });
  return poll;
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
