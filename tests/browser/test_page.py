"""What a person sees, hears and reaches at /, in a real Chromium, on a phone and on a desk, in the light and in the dark."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.unit.exporter import vms

from .conftest import Site
from .webdriver import Browser

VMS = {"healthy": vms.healthy(), "troubled": vms.troubled(), "young": vms.young(), "crowded": vms.crowded(), "gone": None}
SCREENS = {"phone": (360, 800), "desk": (1280, 900)}
SCHEMES = ("light", "dark")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("vm", VMS)
def test_it_is_drawn_from_one_request_and_without_a_word_in_the_console(
        site: Site, browser: Browser, artefacts: Path, vm: str, screen: str, scheme: str) -> None:
    browser.screen(*SCREENS[screen], scheme)
    url = site.tell(VMS[vm])
    browser.open(url)
    browser.picture(artefacts / f"{vm}-{screen}-{scheme}.png")
    assert [one for one in browser.requests() if not one.startswith("data:")] == [url]
    assert browser.messages() == []
    assert browser.run("return getComputedStyle(document.querySelector('.verdict')).borderLeftWidth") == "8px"  # the style is in force


def test_the_policy_is_in_force(site: Site, browser: Browser) -> None:
    """What would slip through an escape is stopped by the policy, and the console is where that shows."""
    browser.open(site.tell(VMS["healthy"]))
    browser.run("""
        const script = document.createElement("script"); script.textContent = "window.ran = true"; document.body.append(script);
        const style = document.createElement("style"); style.textContent = "body { display: none }"; document.body.append(style);
        const image = document.createElement("img"); image.src = "/metrics"; document.body.append(image);
        document.body.insertAdjacentHTML("beforeend", '<a id=on onclick="window.ran = true">x</a>');
        document.getElementById("on").click();""")
    assert browser.run("return [window.ran, getComputedStyle(document.body).display]") == [None, "block"]
    violations = [one for one in browser.messages() if "Content Security Policy" in one]
    assert len(violations) == 4


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
@pytest.mark.parametrize("vm", VMS)
def test_nothing_is_wider_than_the_screen(site: Site, browser: Browser, vm: str, width: int) -> None:
    browser.screen(width, 800)
    browser.open(site.tell(VMS[vm]))
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run("""
        return [...document.querySelectorAll("body *:not(.skip, .hidden, .hidden *)")].filter(one => {
            const box = one.getBoundingClientRect();
            return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5 || one.scrollWidth > Math.ceil(box.width) + 1);
        }).map(one => one.outerHTML.slice(0, 200))""") == []


def test_one_column_on_a_phone_and_two_on_a_desk(site: Site, browser: Browser) -> None:
    lefts = "return [...document.querySelectorAll('.columns > div')].map(one => Math.round(one.getBoundingClientRect().left))"
    for width, columns in ((320, 1), (768, 1), (1280, 2)):
        browser.screen(width, 800)
        browser.open(site.tell(VMS["healthy"]))
        assert len(set(browser.run(lefts))) == columns


CONTRAST = """
const parse = text => text.match(/[0-9.]+/g).map(Number);
const luminance = colour => colour.slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
const ground = element => {
    for (let one = element; one; one = one.parentElement) {
        const colour = parse(getComputedStyle(one).backgroundColor);
        if (colour.length < 4 || colour[3] === 1) return colour;
        if (colour[3] > 0) throw Error("half transparent: " + one.outerHTML);
    }
    throw Error("no background");
};
const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
};
"""


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("vm", VMS)
def test_all_text_has_the_contrast_of_wcag_aa(site: Site, browser: Browser, vm: str, scheme: str) -> None:
    browser.screen(1280, 900, scheme)
    browser.open(site.tell(VMS[vm]))
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    found = browser.run(CONTRAST + """
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), ratios = [];
        while (walker.nextNode()) {
            const element = walker.currentNode.parentElement;
            if (!walker.currentNode.data.trim() || element.closest(".hidden, .spoken")) continue;
            const ratio = contrast(parse(getComputedStyle(element).color), ground(element));
            ratios.push([ratio, walker.currentNode.data.slice(0, 60)]);
        }
        return ratios.sort((one, other) => one[0] - other[0])""")
    assert len(found) > 20
    assert [one for one in found if one[0] < 4.5] == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("vm", VMS)
def test_everything_is_reached_with_tab_and_is_seen_to_be(site: Site, browser: Browser, vm: str, scheme: str) -> None:
    browser.screen(1280, 900, scheme)
    browser.open(site.tell(VMS[vm]))
    wanted = browser.run("""
        const all = [...document.querySelectorAll("a[href], summary, button, input, select, textarea, [tabindex='0']")];
        all.forEach((one, number) => one.dataset.number = number);
        return all.length""")
    reached: list[int] = []
    for _ in range(wanted):
        browser.press("Tab")
        focus = browser.run(CONTRAST + """
            const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
            return {number: Number(one.dataset.number), style: style.outlineStyle, width: parseFloat(style.outlineWidth),
                    contrast: contrast(parse(style.outlineColor), ground(one.parentElement)), left: box.left,
                    seen: box.top >= 0 && box.bottom <= innerHeight && box.left >= 0}""")
        reached.append(focus["number"])
        assert (focus["style"], focus["seen"]) == ("solid", True), focus
        assert focus["width"] >= 2
        assert focus["contrast"] >= 3, focus
    assert reached == list(range(wanted))
    assert wanted >= 5


def test_the_first_tab_offers_the_way_past_the_links(site: Site, browser: Browser) -> None:
    browser.screen(360, 800)
    browser.open(site.tell(VMS["healthy"]))
    assert browser.run("return document.querySelector('.skip').getBoundingClientRect().right") < 0
    browser.press("Tab")
    assert browser.run("return document.activeElement.textContent") == "Skip to the verdict"
    assert browser.run("return document.activeElement.getBoundingClientRect().left") >= 0
    browser.press("Enter")
    assert browser.run("return document.activeElement.tagName") == "MAIN"
    browser.press("Tab")
    assert browser.run("return document.activeElement.textContent") == "Agent running"


def test_a_meaning_is_opened_and_closed_with_the_keyboard(site: Site, browser: Browser) -> None:
    browser.open(site.tell(VMS["troubled"]))
    browser.run("document.querySelector('#disk-full summary').focus()")
    seen = "return [document.querySelector('#disk-full details').open, document.querySelector('#disk-full details p').checkVisibility()]"
    assert browser.run(seen) == [False, False]
    for key, opened in (("Enter", True), ("Enter", False), ("Space", True), ("Space", False)):
        browser.press(key)
        assert browser.run(seen) == [opened, opened], key


def test_a_cause_leads_to_its_finding(site: Site, browser: Browser) -> None:
    browser.screen(360, 800)
    browser.open(site.tell(VMS["troubled"]))
    browser.run("document.querySelector('#backup a[href=\"#wireserver-unreachable\"]').focus()")
    browser.press("Enter")
    top = browser.run("return document.querySelector('#wireserver-unreachable').getBoundingClientRect().top")
    assert 0 <= top < 100
    assert browser.run("return document.querySelector(':target').id") == "wireserver-unreachable"


def tree(browser: Browser) -> list[tuple[str, str, dict[str, Any]]]:
    """What assistive technology is told: role, name, properties, in the order of the page."""
    nodes = {node["nodeId"]: node for node in browser.devtools("Accessibility.getFullAXTree")["nodes"]}
    found, left = [], [next(number for number, node in nodes.items() if "parentId" not in node)]
    while left:
        node = nodes[left.pop(0)]
        left[:0] = node.get("childIds", ())
        if not node["ignored"]:
            found.append((node["role"]["value"], node.get("name", {}).get("value", ""),
                          {one["name"]: one["value"].get("value") for one in node.get("properties", ())}))
    return found


@pytest.mark.parametrize("vm", VMS)
def test_what_a_screen_reader_is_told(site: Site, browser: Browser, vm: str) -> None:
    browser.screen(360, 800)
    browser.open(site.tell(VMS[vm]))
    nodes = tree(browser)
    roles = [role for role, _, _ in nodes]
    assert [roles.count(role) for role in ("banner", "main", "contentinfo")] == [1, 1, 1]
    named = {role: [name for one, name, _ in nodes if one == role] for role in ("navigation", "link", "region", "article", "heading")}
    assert named["navigation"] == (["Pages"] if vm == "gone" else ["Pages", "Summary"])
    assert all(name.strip() for name in (*named["link"], *named["region"], *named["heading"]))
    levels = [properties["level"] for role, _, properties in nodes if role == "heading"]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    assert roles.index("main") < roles.index("heading")
    assert browser.run("return document.documentElement.lang") == "en"
    assert browser.run("return document.title").endswith("waguard on " + browser.run(
        "return document.querySelector('.brand span').textContent.replace(' on ', '')"))
    assert not {"image", "img", "graphics-symbol"} & set(roles)  # the word beside a shape says it


def test_the_words_for_a_screen_reader(site: Site, browser: Browser) -> None:
    browser.open(site.tell(VMS["troubled"]))
    names = [name.strip() for role, name, _ in tree(browser) if role in ("heading", "link", "DisclosureTriangle")]
    assert "critical: agent is running, but a filesystem that the agent needs is full" in names
    assert "critical disk-full: a filesystem that the agent needs is full" in names
    assert "Meaning of disk-full" in names
    assert "Backup not ready" in names


@pytest.mark.parametrize("screen", SCREENS)
def test_a_browser_that_prefers_spanish_gets_spanish(
        spanish_site: Site, spanish_browser: Browser, artefacts: Path, screen: str) -> None:
    browser = spanish_browser
    browser.screen(*SCREENS[screen])
    url = spanish_site.tell(VMS["troubled"])
    browser.open(url)
    browser.picture(artefacts / f"troubled-{screen}-spanish.png")
    assert browser.run("return [document.documentElement.lang, navigator.language]") == ["es", "es-MX"]
    assert [one for one in browser.requests() if not one.startswith("data:")] == [url]
    assert browser.messages() == []
    assert browser.run("return document.querySelector('.verdict .word').textContent") == "crítico:"
    assert browser.run("return document.querySelector('.verdict').className") == "verdict critical"
    assert browser.run("return document.querySelector('#disk-full .remedy .name').textContent") == "Remedio"
    browser.run("for (const one of document.querySelectorAll('details')) one.open = true")
    assert browser.run("return document.documentElement.scrollWidth") <= SCREENS[screen][0]
    words = browser.run("return document.body.innerText")
    assert "Copia de seguridad" in words
    assert not {"Remedy", "Backup", "Findings", "Meaning", "since"} & set(words.split())


@pytest.mark.parametrize("vm", ["troubled", "crowded"])
def test_hostile_names_are_text(site: Site, browser: Browser, vm: str) -> None:
    browser.open(site.tell(VMS[vm]))
    assert browser.run("return document.querySelectorAll('script, img, iframe, object, embed, base, form').length") == 0
    assert browser.run("""return [...document.querySelectorAll("*")].flatMap(one => [...one.attributes])
        .filter(one => one.name.startsWith("on") || one.name === "style").length""") == 0
    words = browser.run("return document.body.innerText")
    assert (vms.SCRIPT if vm == "troubled" else "<'\"&>") in words
    with pytest.raises(Exception, match="no such alert"):
        browser.alert()


@pytest.mark.parametrize("vm", VMS)
def test_dark_is_dark_and_light_is_light(site: Site, browser: Browser, artefacts: Path, vm: str) -> None:
    url = site.tell(VMS[vm])
    grounds = {}
    for scheme in SCHEMES:
        browser.screen(1280, 900, scheme)
        browser.open(url)
        grounds[scheme] = browser.run(CONTRAST + """
            return ["body", ".card", ".verdict"].map(one => luminance(parse(getComputedStyle(document.querySelector(one)).backgroundColor)))
        """)
    assert min(grounds["light"]) > 0.7
    assert max(grounds["dark"]) < 0.05


def test_who_wants_no_motion_gets_none(site: Site, browser: Browser) -> None:
    scrolling = "return getComputedStyle(document.documentElement).scrollBehavior"
    for motion, behaviour in (("reduce", "auto"), ("no-preference", "smooth")):
        browser.screen(1280, 900, motion=motion)
        browser.open(site.tell(VMS["healthy"]))
        assert browser.run(scrolling) == behaviour
    assert browser.run("return document.getAnimations().length") == 0


def test_shapes_stay_where_the_system_chooses_the_colours(site: Site, browser: Browser, artefacts: Path) -> None:
    browser.screen(1280, 900, "dark", colours="active")
    browser.open(site.tell(VMS["troubled"]))
    browser.picture(artefacts / "troubled-desk-forced-colors.png")
    assert browser.run("return matchMedia('(forced-colors: active)').matches")
    ratios = browser.run(CONTRAST + """
        const cut = parse(getComputedStyle(document.querySelector("symbol .cut")).stroke);
        return [...document.querySelectorAll(".card .mark")].map(one => parse(getComputedStyle(one).fill))
            .flatMap((fill, place, all) => [contrast(fill, cut), contrast(fill, ground(document.querySelector(".card")))])""")
    assert len(ratios) > 20
    assert min(ratios) >= 3


def test_what_is_touched_is_large_enough(site: Site, browser: Browser) -> None:
    """WCAG 2.2, 2.5.8: 24 pixels, but for links within a sentence."""
    browser.screen(360, 800)
    browser.open(site.tell(VMS["troubled"]))
    small = browser.run("""return [...document.querySelectorAll("header li a, .tiles a, summary")]
        .filter(one => one.getBoundingClientRect().height < 24 || one.getBoundingClientRect().width < 24).length""")
    assert small == 0


def test_every_link_leads_somewhere(site: Site, browser: Browser) -> None:
    url = site.tell(VMS["troubled"])
    browser.open(url)
    links = browser.run("return [...document.querySelectorAll('a')].map(one => one.href)")
    pages = {link.partition("#")[0] for link in links}
    assert pages == {url, f"{url}metrics", f"{url}-/healthy", f"{url}-/ready"}
    for page in pages:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(page, timeout=30) as answer:
            assert answer.status == 200
    assert browser.run("""return [...document.querySelectorAll("a[href^='#']")]
        .filter(one => !document.getElementById(one.hash.slice(1))).length""") == 0


def test_what_goes_with_the_page(site: Site) -> None:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(site.tell(VMS["healthy"]), timeout=30) as answer:
        headers = answer.headers
        assert len(answer.read()) < 60_000
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
