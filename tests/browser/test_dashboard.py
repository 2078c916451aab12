"""The dashboard over a real site: log in, play, lose the master, stop; on a phone, by keyboard."""

import re

from selenium.webdriver.common.keys import Keys

from services.cli.demo.plan import SITE
from tests.browser.live_site import NAME, PASSWORD, LiveSite
from tests.browser.page import Page, browser

FILM = ("sim://film", "60")
PHONE = (360, 740)


def state(page: Page) -> tuple[str, str, str]:
    """State, term and master of the session that is shown; "" where there is none."""
    return (
        page.text("#session .state"),
        page.text("#session .term"),
        page.text("#session [data-fact=master]"),
    )


def test_log_in_start_see_drift_lose_the_master_stop(site: LiveSite) -> None:
    with browser(site.url) as page:
        page.open()
        page.find("#login-name")
        page.screenshot("login", 1366, 760)
        page.log_in(NAME, "not the password")
        page.until(lambda: page.text("#login-problem"), "a sentence about the wrong password")
        assert page.text("#login-problem") == "the name or the password is wrong"
        page.log_in(NAME, PASSWORD)
        page.open_site(SITE)
        page.until(lambda: len(page.texts("#devices tbody tr")) == 3, "three devices")
        page.until(lambda: page.text("#tiles dd") == "3 of 3", "all devices online")
        assert page.text("#session .idle") == "Nothing plays at this site."

        page.click("#start")
        page.find("dialog .uri")
        page.screenshot("start", 1366, 760)
        page.press(Keys.ESCAPE)
        page.start(*FILM)
        page.until(lambda: state(page) == ("playing", "term 1", "screen-1"), "it plays")
        page.forget_calls()

        def drawn() -> bool:
            chart = page.chart()
            return sorted(chart) == site.devices and all(n >= 2 for n, _ in chart.values())

        page.until(drawn, "a line of each device")
        before = page.chart()
        assert all(last is not None and abs(last) < 1000 for _, last in before.values()), before
        page.until(
            lambda: all(n > before[name][0] for name, (n, _) in page.chart().items()),
            "points that came since",
        )
        assert len({last for _, last in page.chart().values()}) == 3  # each its own
        page.until(lambda: "LAN" in page.text("#drift-legend"), "lan mode in the legend")
        seconds, calls = page.calls("/v1/sites/")
        assert calls <= 8 + 0.6 * seconds, "each look costs an invocation"

        site.kill_device("screen-1")
        page.until(lambda: state(page)[1] == "term 2", "another term")
        assert state(page)[2] in ("screen-2", "screen-3")
        page.until(lambda: page.texts("#event-list [data-kind=failover]"), "the failover")
        assert "screen-1" in page.text("#event-list [data-kind=failover] .detail")
        new = state(page)[2]
        count = page.chart()[new][0]
        page.until(lambda: page.chart()[new][0] > count, "the new master's points")
        page.screenshot("site", 1366)
        site.start_device("screen-1")  # it comes back to the session that runs
        page.until(lambda: "3 of 3" in page.text("#session .progress"), "all have obeyed")

        page.click("#session .stop")
        page.press(Keys.ESCAPE)  # asked again, one may think again
        assert state(page)[0] == "playing"
        page.click("#session .stop")
        page.click("dialog button.danger")
        page.find("#session .idle")
        page.until(lambda: page.texts("#event-list [data-kind=session_stopped]"), "the stop")
        assert page.complaints("/v1/login - Failed to load resource") == []

        page.click("#logout")
        page.find("#login-name")
        page.open(f"/dashboard/#/site/{SITE}")
        page.find("#login-name")


def test_a_phone_shows_all_of_it_without_scrolling_sideways(site: LiveSite) -> None:
    with browser(site.url, "es-ES") as page:
        page.size(*PHONE, mobile=True)
        page.open()
        assert page.find("form.login h1").text == "Entrar"
        assert page.overflow() <= 0
        page.log_in(NAME, PASSWORD)
        page.find("#sites a")
        assert page.overflow() <= 0
        page.open_site(SITE)
        page.start(*FILM)
        page.until(lambda: state(page)[0] == "reproduciendo", "it plays, in Spanish")
        page.until(lambda: len(page.chart()) == 3, "the chart")
        assert page.overflow() <= 0
        for button in ("#flags-open", "#enrol", "#session .master", "#start"):
            page.click(button)
            page.find("dialog")
            assert page.overflow() <= 0, button
            box = page.find("dialog").rect
            assert box["x"] >= 0, button
            assert box["x"] + box["width"] <= PHONE[0], button
            page.press(Keys.ESCAPE)
        page.until(lambda: all(n >= 3 for n, _ in page.chart().values()), "lines to see")
        page.screenshot("phone", PHONE[0], 2 * PHONE[1], mobile=True)
        page.size(*PHONE, mobile=True)
        page.click("#language")
        page.until(lambda: state(page)[0] == "playing", "the same in English")
        page.driver.refresh()
        page.until(lambda: state(page)[0] == "playing", "English, remembered")
        page.open("/dashboard/#/accounts")
        page.find("#accounts .card")
        assert page.overflow() <= 0
        assert page.complaints() == []


def test_a_keyboard_is_enough_to_log_in_and_start(site: LiveSite) -> None:
    with browser(site.url) as page:
        page.open()
        page.find("#login-name")
        page.press(NAME, Keys.TAB, PASSWORD, Keys.ENTER)
        page.find("#sites a")
        page.tab_to("#sites a")
        page.press(Keys.ENTER)
        page.until(lambda: page.text("#tiles dd") == "3 of 3", "the devices")
        page.tab_to("#start")
        page.press(Keys.ENTER)
        page.find("dialog")
        page.tab_to("dialog .uri")
        inside = "return document.activeElement.closest('dialog') || document.activeElement.tagName"
        for _ in range(30):  # round the dialog more than once, never into the page below it
            page.press(Keys.TAB)
            assert page.driver.execute_script(inside) not in ("A", "BUTTON", "INPUT", "SELECT")
        page.tab_to("dialog .uri")
        page.press(Keys.CONTROL + "a", FILM[0])
        page.tab_to("dialog .seconds")
        page.press(Keys.CONTROL + "a", FILM[1], Keys.ENTER)
        page.until(lambda: state(page)[0] in ("preparing", "ready", "playing"), "a session")
        page.tab_to("#session .stop")
        page.press(Keys.ENTER)
        page.find("dialog")
        page.tab_to("dialog button.danger")
        page.press(Keys.ENTER)
        page.find("#session .idle")
        assert page.complaints() == []


def test_a_control_plane_that_is_away_is_said_so_and_found_again(site: LiveSite) -> None:
    with browser(site.url) as page:
        page.open()
        page.log_in(NAME, PASSWORD)
        page.open_site(SITE)
        page.until(lambda: page.texts("#devices tbody tr"), "the devices")
        site.kill_control_plane()
        page.look_again()
        banner = page.find("#banner")
        assert "The control plane does not answer. Trying again…" in banner.text
        assert re.search(r"What is shown is of \d\d:\d\d:\d\d\.", banner.text)
        site.start_control_plane()
        page.until(lambda: not banner.is_displayed(), "the page without the banner")
        page.until(lambda: page.text("#tiles dd") == "3 of 3", "the devices again")


def test_an_administrator_changes_a_flag_the_master_and_accounts(site: LiveSite) -> None:
    with browser(site.url) as page:
        page.open()
        page.log_in(NAME, PASSWORD)
        page.open_site(SITE)
        page.start(*FILM)
        page.until(lambda: state(page)[0] == "playing", "it plays")

        page.click("#session .master")
        page.fill("dialog select", "screen-3")
        page.click("dialog button[type=submit]")
        page.until(lambda: state(page)[2] == "screen-3 (pinned)", "the new master")
        assert state(page)[1] != "term 1"

        playing = page.text("#session .id")
        page.start(*FILM)  # nobody's show ends by a form that was sent as it stood
        page.until(lambda: page.text("dialog .problem"), "what is in the way")
        page.click("#replace")
        page.click("dialog button[type=submit]")
        page.find("dialog + dialog")
        page.press(Keys.ESCAPE)  # asked, one may think again
        page.find("dialog #replace")
        assert page.text("#session .id") == playing
        page.click("dialog button[type=submit]")
        page.click("dialog + dialog button.danger")
        page.until(lambda: page.text("#session .id") not in ("", playing), "the other session")

        page.click("#flags-open")
        page.fill("#flag-scope", "screen-2")
        page.fill("#flag-why", "a canary")
        page.fill("#flag-name", "SYNC_LAN_BEACON_HZ")
        page.fill("#flag-value", "30")
        page.click("dialog button[type=submit]")
        page.until(lambda: "SYNC_LAN_BEACON_HZ=30" in page.text("#flags-set"), "the flag")
        page.until(lambda: page.texts("#event-list [data-kind=flags_changed]"), "its event")

        page.click("#enrol")
        page.click("dialog button[type=submit]")
        tokens = page.find("dialog textarea").get_attribute("value") or ""
        assert tokens.startswith(f"{SITE}.")
        page.press(Keys.ESCAPE)

        page.open("/dashboard/#/accounts")
        page.click("#new-account")
        page.fill("#account-name", NAME)
        page.fill("#account-password", "a long enough password")
        page.click("dialog button[type=submit]")
        page.until(lambda: "there is an account" in page.text("dialog .problem"), "the refusal")
        page.fill("#account-name", "luis")
        page.fill("#account-password", "a long enough password")
        page.fill("#account-sites", SITE)
        page.click("dialog button[type=submit]")
        page.until(lambda: "luis" in page.text("#accounts [data-key=luis]"), "the account")
        refused = "Failed to load resource: the server responded with a status of 409"
        assert page.complaints(refused) == []
