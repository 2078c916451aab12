"""The dashboard in headless Chromium, driven as a person would."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

# Asking who is logged in is how the page finds out that nobody is.
LOGGED_OUT = "/v1/me - Failed to load resource: the server responded with a status of 401"
SCREENSHOTS = os.environ.get("UNISONO_SCREENSHOTS", "")
POLL_S = 0.05
LIMIT_S = 30.0  # only who waits in vain waits so long
T = TypeVar("T")


class Page:
    """One browser with the dashboard in it; waits for what it looks for."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        self.url = url

    def open(self, where: str = "/") -> None:
        """Go to an address of the control plane."""
        self.driver.get(self.url + where)

    def find(self, css: str, limit_s: float = LIMIT_S) -> WebElement:
        """The first element of that selector that can be seen."""

        def seen() -> WebElement | None:
            found = self.driver.find_elements(By.CSS_SELECTOR, css)
            return next((element for element in found if element.is_displayed()), None)

        return self.until(seen, css, limit_s)

    def texts(self, css: str) -> list[str]:
        """What all elements of that selector say."""
        script = "return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)"
        found: list[str] = self.driver.execute_script(script, css)
        return found

    def text(self, css: str) -> str:
        """What the first element of that selector says; "" when there is none."""
        return next(iter(self.texts(css)), "")

    def until(self, look: Callable[[], T | None], what: str, limit_s: float = LIMIT_S) -> T:
        """What ``look`` finds, asked again and again."""
        deadline_s = time.monotonic() + limit_s
        while True:
            with contextlib.suppress(NoSuchElementException, StaleElementReferenceException):
                if found := look():
                    return found
            if time.monotonic() > deadline_s:
                body = self.driver.find_element(By.TAG_NAME, "body").text
                raise AssertionError(f"not there after {limit_s:g} s: {what}; the page:\n{body}")
            time.sleep(POLL_S)

    def fill(self, css: str, text: str) -> None:
        """Type into a field, in place of what is there; of a select, choose that value."""
        element = self.find(css)
        if element.tag_name == "select":
            Select(element).select_by_value(text)
            return
        element.clear()
        element.send_keys(text)

    def click(self, css: str) -> None:
        """Click what can be seen, as soon as it can be clicked."""
        self.until(lambda: self.find(css).is_enabled(), f"{css}, enabled")
        self.find(css).click()

    def log_in(self, name: str, password: str) -> None:
        """Fill the form in and send it."""
        self.fill("#login-name", name)
        self.fill("#login-password", password)
        self.click("form.login button[type=submit]")

    def open_site(self, site: str) -> None:
        """From the list of sites to one of them."""
        self.click(f"#sites a[href='#/site/{site}']")
        self.find("#tiles")

    def start(self, uri: str, seconds: str, delay_s: str = "1.5") -> None:
        """Start a session of the devices that are chosen already."""
        self.click("#start")
        self.fill("dialog .uri", uri)
        self.fill("dialog .seconds", seconds)
        self.fill("#start-delay", delay_s)
        self.click("dialog button[type=submit]")

    def chart(self) -> dict[str, tuple[int, float | None]]:
        """Of each line of the drift chart: how many points it has, and its last value, ms."""
        script = """
            const plot = document.getElementById("drift-chart").uplot;
            if (!plot) return {};
            return Object.fromEntries(plot.series.slice(1).map((line, i) => {
              const points = plot.data[i + 1].filter((value) => typeof value === "number");
              return [line.label, [points.length, points[points.length - 1] ?? null]];
            }));"""
        found: dict[str, Any] = self.driver.execute_script(script)
        return {name: (count, last) for name, (count, last) in found.items()}

    def module(self, path: str, expression: str) -> Any:
        """What ``expression`` says, at last, of a module ``m`` of the dashboard."""
        script = f"""
            const done = arguments[arguments.length - 1];
            import("{path}").then(async (m) => done({{is: await ({expression})}}))
              .catch((error) => done({{error: `${{error}}`}}));"""
        found: dict[str, Any] = self.driver.execute_async_script(script)
        assert "is" in found, found
        return found["is"]

    def tab_to(self, css: str, limit: int = 60) -> None:
        """Press Tab until the focus is on an element of that selector, and can be seen there."""
        for _ in range(limit):
            here = self.driver.switch_to.active_element
            if self.driver.execute_script("return arguments[0].matches(arguments[1])", here, css):
                style = "return getComputedStyle(arguments[0]).outlineStyle"
                assert self.driver.execute_script(style, here) != "none", f"{css}: no focus to see"
                return
            here.send_keys(Keys.TAB)
        raise AssertionError(f"Tab does not lead to {css}")

    def look_again(self) -> None:
        """As when somebody comes back to the page: it asks for all at once."""
        self.driver.execute_script("document.dispatchEvent(new Event('visibilitychange'))")

    def forget_calls(self) -> None:
        """Count the calls of the page anew."""
        self.driver.execute_script("performance.clearResourceTimings(); window.since = Date.now()")

    def calls(self, path: str) -> tuple[float, int]:
        """For how many seconds calls were counted, and how many of that path the page made."""
        script = """
            const all = performance.getEntriesByType("resource").map((one) => one.name);
            return [(Date.now() - window.since) / 1000,
              all.filter((name) => new URL(name).pathname.startsWith(arguments[0])).length];"""
        seconds, count = self.driver.execute_script(script, path)
        return float(seconds), int(count)

    def press(self, *keys: str) -> None:
        """Type at the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def size(self, width: int, height: int, *, mobile: bool = False) -> None:
        """Set the size of what is seen, in CSS pixels."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile},
        )

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        script = "return document.documentElement.scrollWidth - innerWidth"
        return int(self.driver.execute_script(script))

    def complaints(self, *expected: str) -> list[str]:
        """What the browser's console says is wrong, but for lines with one of those in them."""
        known = (LOGGED_OUT, *expected)
        lines = [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]
        return [line for line in lines if not any(one in line for one in known)]

    def screenshot(self, name: str, width: int, height: int = 0, *, mobile: bool = False) -> None:
        """Write ``dashboard-NAME.png`` where ``UNISONO_SCREENSHOTS`` asks for it; else nothing.

        Without a height the whole page is shown.
        """
        if not SCREENSHOTS:
            return
        self.size(width, height or 800, mobile=mobile)
        self.driver.execute_script("scrollTo(0, 0)")
        time.sleep(0.3)  # for the chart to take its new width
        if not height:
            script = "return document.documentElement.scrollHeight"
            self.size(width, int(self.driver.execute_script(script)), mobile=mobile)
            time.sleep(0.3)
        self.driver.save_screenshot(str(Path(SCREENSHOTS) / f"dashboard-{name}.png"))


@contextlib.contextmanager
def browser(url: str, language: str = "en-US") -> Iterator[Page]:
    """A browser of its own, with no memory of another, until the block ends."""
    options = webdriver.ChromeOptions()
    words = ["headless=new", "disable-gpu", "disable-dev-shm-usage", "force-color-profile=srgb"]
    words += ["window-size=1366,900"] + (["no-sandbox"] if os.geteuid() == 0 else [])
    for word in words:
        options.add_argument(f"--{word}")
    options.add_experimental_option("prefs", {"intl.accept_languages": language})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = shutil.which("chromedriver")
    assert found, "there is no chromedriver on the PATH: install chromium-driver"
    driver = webdriver.Chrome(options=options, service=Service(found))
    try:
        yield Page(driver, url)
    finally:
        driver.quit()
