"""Text that can be read: its contrast with what it stands on, in the light and in the dark."""

from pathlib import Path

from selenium.webdriver.common.keys import Keys

from services.cli.demo.plan import SITE
from tests.browser.live_site import NAME, PASSWORD, LiveSite
from tests.browser.page import Page, browser
from unisono.core.mode import Mode
from unisono.core.session_state import SessionState

LEAST = 4.5  # WCAG 2 AA, text of usual size
SCRIPT = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")
KINDS = [*(state.value for state in SessionState), "idle", "operator", "admin"]
MODES = [mode.value for mode in Mode]
# What is rarely seen, beside what is there: each badge, each mode, and what marks the bad.
RARE = """
    const [kinds, modes] = arguments;
    const add = (parent, html) => {
      const made = document.createElement(parent.tag ?? "div");
      made.className = parent.class ?? "";
      document.querySelector(parent.into).append(made);
      made.append(...html);
      return made;
    };
    const make = (tag, name, data, text) => {
      const made = document.createElement(tag);
      made.className = name;
      Object.assign(made.dataset, data);
      made.textContent = text;
      return made;
    };
    add({into: "#session"}, kinds.map((kind) => make("span", "badge", {kind}, kind)));
    for (const mode of modes) {
      const cell = make("div", "devices", {}, "");
      const inner = make("div", "", {kind: mode, cell: "role"}, "");
      inner.append(make("small", "", {}, mode));
      cell.append(inner);
      document.querySelector("#devices").append(cell);
    }
    add({into: "#session"}, [make("p", "problem", {}, "a problem"), make("p", "bad", {}, "bad")]);
    const grave = make("li", "grave", {}, "");
    grave.append(make("strong", "", {}, "grave"));
    document.querySelector("#event-list").append(grave);
    const off = make("button", "", {}, "hidden line");
    off.setAttribute("aria-pressed", "false");
    const line = make("li", "", {}, "");
    line.append(off);
    document.querySelector("#drift-legend").append(line);
    const banner = document.getElementById("banner");
    banner.textContent = "away";
    banner.hidden = false;
"""


def too_faint(page: Page) -> list[str]:
    """Each text whose contrast is below the least."""
    found = page.driver.execute_script(SCRIPT)
    assert len(found) > 20
    return [f"{ratio:.2f} {what}" for ratio, what in found if ratio < LEAST]


def shine(page: Page, scheme: str) -> None:
    """Have the page light or dark, at once."""
    wanted = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in wanted.items()]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    ink = page.driver.execute_script("return getComputedStyle(document.body).color")
    assert (ink == "rgb(232, 237, 242)") == (scheme == "dark")


def test_every_text_has_enough_contrast_in_the_light_and_in_the_dark(site: LiveSite) -> None:
    with browser(site.url) as page:
        page.open(f"/dashboard/#/site/{SITE}")
        page.find("#login-name")
        page.log_in(NAME, PASSWORD)
        page.until(lambda: len(page.texts("#devices tbody tr")) == len(site.devices), "the devices")
        page.until(lambda: page.texts("#event-list li"), "the events")
        page.driver.execute_script(RARE, KINDS, MODES)
        for scheme in ("light", "dark"):
            shine(page, scheme)
            assert too_faint(page) == [], scheme
            page.click("#start")
            page.find("dialog .uri")
            assert too_faint(page) == [], scheme
            page.press(Keys.ESCAPE)
