"""The page in a real browser: keys name, split, undo and write; nothing is fetched from elsewhere."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reviewing import Running, rows, running, write_digits

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
N = 90


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Running]:
    with running(write_digits(root, N), root, "--clusters", "6") as process:
        yield process


@pytest.fixture
def page(browser: Any, server: Running) -> Iterator[Any]:
    """The page, as before any decision; errors of its script and requests to anywhere else fail the test."""
    while server.state()["undo"]:
        server.post("undo")
    problems: list[str] = []
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(15_000)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda sent: None if local(sent.url, server) else problems.append(sent.url))
    opened.goto(server.address)
    opened.wait_for_selector(".tile img")
    yield opened
    context.close()
    assert not problems


def local(url: str, server: Running) -> bool:
    return url.startswith(("data:", server.address))


def says(page: Any, text: str) -> None:
    """Wait until the page says a text."""
    page.wait_for_function("text => document.getElementById('status').textContent.includes(text)", arg=text)


def test_keys_name_split_undo_and_write(page: Any, server: Running, root: Path) -> None:
    first, second = server.state()["queue"][:2]
    page.keyboard.press("n")
    page.keyboard.type("round ones")
    page.keyboard.press("Enter")
    says(page, f"Cluster {first}: round ones")
    assert server.state()["counts"]["cluster"] > 0
    assert page.text_content("h2") == f"Cluster {second}", "the next cluster follows"
    page.keyboard.press("1")
    says(page, f"Cluster {second}: round ones")
    third = server.state()["queue"][0]
    page.keyboard.press("s")
    says(page, f"Cluster {third} is split: 6 with")
    assert page.text_content("h2") == "Cluster 6"
    page.keyboard.press("u")
    says(page, f"Taken back: cluster {third}: split")
    assert page.text_content("h2") == f"Cluster {third}"
    page.keyboard.press("m")
    says(page, "mixed, for the next round")
    page.keyboard.press("w")
    says(page, "Written: labels.csv")
    table = rows(root / "labels.csv")
    sizes = {cluster["number"]: cluster["size"] for cluster in server.state()["clusters"]}
    assert sum(row["label"] == "round ones" for row in table.values()) == sizes[first] + sizes[second]


def test_single_images_are_checked_and_give_an_accuracy(page: Any, server: Running) -> None:
    page.keyboard.press("n")
    page.keyboard.type("a")
    page.keyboard.press("Enter")
    says(page, ": a")
    assert "not known yet" in page.text_content("#accuracy")
    page.click("text=Check")
    page.wait_for_selector(".tile[role=option]")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tile.done")
    page.keyboard.press("x")
    page.wait_for_function("() => document.querySelectorAll('.tile.done').length === 2")
    page.wait_for_function(
        "() => document.getElementById('accuracy').textContent.startsWith('1 of 2 names by cluster')"
    )
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    says(page, "2 images selected")
    page.keyboard.press("n")
    page.keyboard.type("b")
    page.keyboard.press("Enter")
    says(page, "2 images: b")
    assert server.state()["counts"]["image"] == 3


def test_the_next_round_begins_by_a_key(page: Any, server: Running) -> None:
    page.keyboard.press("m")
    says(page, "mixed")
    page.keyboard.press("r")
    says(page, "Round 2 begins with 6 clusters")
    assert server.state()["round"] == 2


def test_a_hand_edited_file_is_kept_and_another_name_offered(page: Any, root: Path) -> None:
    page.keyboard.press("w")
    says(page, "Written: labels.csv")
    (root / "labels.csv").write_text("file,label\nmine,mine\n")
    page.keyboard.press("w")
    says(page, "was changed since kmpl wrote it")
    page.click("#status button")
    says(page, "Written: labels_2.csv")
    assert (root / "labels.csv").read_text() == "file,label\nmine,mine\n"


def test_two_tabs_show_the_same(page: Any, server: Running) -> None:
    other = page.context.new_page()
    other.goto(server.address)
    other.wait_for_selector(".tile img")
    first = server.state()["queue"][0]
    page.keyboard.press("x")
    says(page, f"Cluster {first}: none of the classes")
    other.wait_for_function("() => document.querySelector('#legend').textContent.includes('none of the classes')")
    assert "none of the classes" in other.locator("#legend").inner_text()


def test_images_out_of_sight_are_not_in_the_page_and_never_named(page: Any, server: Running) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    page.click("text=Doubtful")
    page.wait_for_selector(".tile[role=option]")
    assert page.locator(".tile[role=option]").count() < N
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_selector(f".tile[aria-posinset='{N}']")
    page.keyboard.press("x")
    says(page, "the image was out of sight")
    assert server.state()["counts"]["no_class"] == 0
    page.keyboard.press("x")
    says(page, "none of the classes")
    assert server.state()["counts"]["no_class"] == 1


def test_it_fits_a_phone_and_everything_has_a_name(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    named = "e.ariaLabel || e.textContent.trim() || e.labels?.length"
    assert page.evaluate(f"[...document.querySelectorAll('button, input')].every(e => {named})")
