"""What the page does with refusals, with other people's changes, and with a log that is long."""

import asyncio
from typing import Any

import redis
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from services.cli.demo.plan import SITE
from tests.browser.live_site import LiveSite
from tests.browser.page import Page, browser
from unisono.core.site_document import SiteEvent
from unisono.state import DocumentStore, RedisStore

FAILED = "Failed to load resource"
# Each test has people of its own: nobody may log in oftener than so many times in five minutes.
WORD = "another good password"


def redis_url(site: LiveSite) -> str:
    """The control plane's database."""
    return f"unix://{site.plan.redis_socket}?db=0"


def new_site(site: LiveSite, name: str) -> str:
    """A site without devices."""
    site.call("POST", f"/v1/sites/{name}/enroll-tokens", count=1)
    return name


def make_account(site: LiveSite, name: str, *sites: str, role: str = "admin") -> str:
    """An account; its name."""
    asked = {"name": name, "password": WORD, "role": role, "sites": list(sites)}
    site.call("POST", "/v1/accounts", **asked)
    return name


def sign_in_elsewhere(page: Page, name: str, password: str) -> None:
    """As another tab would: this browser has that login from now on."""
    script = """
        const [name, password, done] = arguments;
        fetch("/v1/login", {method: "POST", headers: {"Content-Type": "application/json"},
          body: JSON.stringify({name, password})}).then((reply) => done(reply.status));"""
    assert page.driver.execute_async_script(script, name, password) == 200


def test_a_site_that_is_not_there_or_not_ones_own_shows_nothing_but_the_sentence(
    site: LiveSite,
) -> None:
    eva = make_account(site, "eva", new_site(site, "annex"), role="operator")
    with browser(site.url) as page:
        page.open("/dashboard/#/site/annex")
        page.log_in(eva, WORD)
        page.find("#tiles")
        page.open(f"/dashboard/#/site/{SITE}")
        page.until(lambda: "has no access" in page.text("#main .problem"), "the refusal")
        assert page.texts("#tiles") == []
        page.open("/dashboard/#/site/nowhere")
        page.until(lambda: "nowhere" in page.text("h1"), "the other one")
        page.find("#main .problem")
        assert page.texts("#tiles") == []

        page.open("/dashboard/#/site/annex")
        page.find("#tiles")
        site.call("PATCH", f"/v1/accounts/{eva}", sites=[SITE])  # it was theirs until now
        page.look_again()
        page.until(lambda: "has no access" in page.text("#main .problem"), "the refusal")
        assert page.texts("#tiles") == []
        site.call("PATCH", f"/v1/accounts/{eva}", sites=["annex"])
        page.click("#go-on")
        page.find("#tiles")
        assert page.complaints(FAILED) == []


def test_a_store_that_fails_and_a_limit_are_said_until_they_are_over(site: LiveSite) -> None:
    name = new_site(site, "broken")
    otto = make_account(site, "otto", role="operator")
    with browser(site.url) as page, redis.Redis.from_url(redis_url(site)) as store:
        page.open(f"/dashboard/#/site/{name}")
        page.log_in(otto, WORD)
        page.until(lambda: page.text("#tiles dd") == "0 of 0", "the site")
        kept = [key for key in store.scan_iter(f"*{{{name}}}*") if b"." not in key]
        for key in kept:
            store.rename(key, key + b".kept")
            store.set(key, "no hash")
        page.look_again()
        page.until(lambda: "cannot reach its store" in page.text("#banner"), "the failure")
        assert "What is shown is of" in page.text("#banner")
        for key in kept:
            store.rename(key + b".kept", key)
        page.until(lambda: not page.text("#banner"), "the page without the banner")

        burst = """
            const done = arguments[arguments.length - 1];
            Promise.all(Array.from({length: 330}, () => fetch("/v1/me")))
              .then((all) => done(all.filter((one) => one.status === 429).length));"""
        page.until(lambda: page.driver.execute_async_script(burst), "the limit")
        page.look_again()
        page.until(lambda: "too many calls" in page.text("#banner"), "the limit in words")
        assert page.complaints(FAILED) == []


def test_another_account_does_not_carry_out_what_this_page_asked(site: LiveSite) -> None:
    alba = make_account(site, "alba")
    olga = make_account(site, "olga", SITE, role="operator")

    def ask(page: Page) -> None:
        page.click("#enrol")
        page.click("dialog button[type=submit]")

    with browser(site.url) as page:
        page.open(f"/dashboard/#/site/{SITE}")
        page.log_in(alba, WORD)
        page.find("#tiles")
        sign_in_elsewhere(page, alba, WORD)
        ask(page)  # the same person, another login: it is asked again
        page.find("dialog textarea")
        page.press(Keys.ESCAPE)

        sign_in_elsewhere(page, olga, WORD)
        ask(page)
        page.until(lambda: "olga has logged in here" in page.text("#main .problem"), "who it is")
        assert page.texts("dialog") == page.texts("#tiles") == page.texts("#me") == []
        page.click("#go-on")
        page.until(lambda: page.text("#me") == olga, "the page of the other")
        page.find("#tiles")
        assert page.texts("#enrol") == []
        assert page.complaints(FAILED) == []


def test_an_edit_changes_only_what_was_edited(site: LiveSite) -> None:
    rita = make_account(site, "rita")
    make_account(site, "rosa", SITE, role="operator")
    card = "#accounts [data-key=rosa]"
    with browser(site.url) as page:
        page.open("/dashboard/#/accounts")
        page.log_in(rita, WORD)
        page.click(f"{card} button:not(.danger)")
        page.find("dialog")
        site.call("PATCH", "/v1/accounts/rosa", disabled=True)  # somebody shuts her out meanwhile
        page.fill("#account-sites", f"{SITE}, annex2")
        page.click("dialog button[type=submit]")
        page.until(lambda: "annex2" in page.text(f"{card} .sites"), "the change")
        assert page.text(f"{card} .badge") == "disabled"
        assert page.complaints() == []


def test_the_editor_of_flags_knows_every_spelling_and_every_choice(site: LiveSite) -> None:
    path = f"/v1/sites/{new_site(site, 'flags')}/flags"
    fina = make_account(site, "fina")
    values = {"SYNC_LAN_FALLBACK_TO_CLOUD": "true", "SYNC_LAN_TRANSPORT": "udp,pgm"}
    site.call("PATCH", path, values=values, why="by hand")
    with browser(site.url) as page:
        page.driver.execute_cdp_cmd("Network.enable", {})
        blocked = {"urls": ["*/dashboard/flags.json"]}
        page.driver.execute_cdp_cmd("Network.setBlockedURLs", blocked)
        page.open("/dashboard/#/site/flags")
        page.log_in(fina, WORD)
        page.until(lambda: "udp,pgm" in page.text("#flags-set"), "the flags")
        page.click("#flags-open")
        page.until(lambda: "list of flags cannot be read" in page.text("#flags"), "the failure")
        page.driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        page.click("#flags-open")

        page.fill("#flag-name", "SYNC_LAN_FALLBACK_TO_CLOUD")
        assert page.find("#flag-value").get_property("value") == "1"
        page.fill("#flag-name", "SYNC_LAN_TRANSPORT")
        assert page.find("#flag-value").get_property("value") == "udp,pgm"
        assert {"auto", "pgm", "udp,tcp", "udp,tcp,pgm"} <= set(page.texts("#flag-value option"))
        page.fill("#flag-value", "tcp")
        page.fill("#flag-why", "a switch without multicast")
        page.click("dialog button[type=submit]")
        page.until(lambda: "SYNC_LAN_TRANSPORT=tcp" in page.text("#flags-set"), "the flag")
        said: dict[str, Any] = site.call("GET", path)
        assert said["site"]["SYNC_LAN_TRANSPORT"] == "tcp"
        assert page.complaints("/dashboard/flags.json") == []


async def log(url: str, site: str, details: list[str], at_ms: int) -> None:
    """Let that have happened, ten in each ms."""
    store = DocumentStore(RedisStore(url))
    batch = store.batch(site)
    for number, detail in enumerate(details):
        event = SiteEvent("device_enrolled", at_ms + number // 10, who="ana", detail=detail)
        batch.happened(event)
    try:
        assert await store.settle(batch)
    finally:
        await store.close()


def test_a_long_log_is_read_by_the_page_and_never_grows_beyond_what_was_asked_for(
    site: LiveSite,
) -> None:
    name = new_site(site, "busy")
    lola = make_account(site, "lola")
    rest = [event["detail"] for event in site.call("GET", f"/v1/sites/{name}/events")["events"]]
    wanted = [f"number {number}" for number in range(245 - len(rest))]
    asyncio.run(log(redis_url(site), name, wanted, 1_700_000_000_004))

    def shown() -> list[str]:
        return [text.split(" · ")[0] for text in page.texts("#event-list .detail")]

    with browser(site.url) as page:
        page.open(f"/dashboard/#/site/{name}")
        page.log_in(lola, WORD)
        page.until(lambda: len(shown()) == 100, "a page")
        page.click("#events-older")
        page.until(lambda: len(shown()) == 200, "two pages")
        # Ninety more happen: what was shown moves down, and out at the end.
        now = [f"later {number}" for number in range(90)]
        asyncio.run(log(redis_url(site), name, now, 1_700_000_100_000))
        page.look_again()
        page.until(lambda: set(now) <= set(shown()), "what is new")
        assert len(shown()) == len(set(shown())) == 200
        page.click("#events-older")
        page.until(lambda: len(shown()) == 300, "three pages")
        page.click("#events-older")
        page.until(lambda: len(shown()) == 335, "all of it")
        assert set(now) | set(wanted) <= set(shown())
        assert not page.driver.find_element(By.ID, "events-older").is_displayed()  # that is all
        assert page.complaints() == []
