"""An exported copy opens from the disk, without a server: its pages, its images, and no complaint on the console."""

import pytest
from playwright.sync_api import expect

from pixelproof.web.export import export
from pixelproof.web.library import Library

pytestmark = pytest.mark.slow

VIEWS = ("runs", "run", "example", "gallery", "thresholds", "map", "robustness", "compare", "glossary", "live")


@pytest.fixture(scope="module")
def copy(walked, tmp_path_factory):
    """The address of the copy's first page, a file:// one."""
    folder = tmp_path_factory.mktemp("copy")
    export(Library([walked]), folder, examples=4)
    return (folder / "index.html").as_uri()


@pytest.fixture
def opened(page, copy, walked):
    complaints, foreign = [], []
    page.set_default_timeout(20_000)
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request", lambda asked: foreign.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None
    )

    def go(view, **more):
        query = "&".join(f"{key}={value}" for key, value in {"view": view, "run": walked.name, **more}.items())
        page.goto("about:blank")
        page.goto(f"{copy}#{query}")
        expect(page.locator(f"main[data-view={view}] h1").first).to_be_visible()
        return page

    yield go
    assert complaints == []
    assert [url for url in foreign if not url.startswith(("file:", "data:", "blob:", "about:"))] == []


@pytest.mark.parametrize("view", VIEWS)
def test_every_page_opens_from_the_disk(opened, view):
    page = opened(view)
    expect(page.locator("[role=status]").filter(has_text="Reading")).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_count(0)
    if view == "live":
        expect(page.locator("main")).to_contain_text("This copy has no classifier behind it")


def test_the_first_page_is_an_example_with_its_images(page, copy):
    page.goto(copy)
    page.get_by_role("link", name="An adversarial example").first.click()
    expect(page.locator("#lane")).to_be_visible()
    shown = page.locator("[data-panel=adversarial] canvas").first
    shown.wait_for()
    colours = """canvas => { const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Set(Array.from({length: data.length / 4}, (_, i) => data[4 * i])).size }"""
    page.wait_for_function("document.querySelector('[data-panel=adversarial] canvas').width > 1")
    assert shown.evaluate(colours) > 3
    loaded = "Array.from(document.images).every(each => each.complete && each.naturalWidth > 0)"
    page.wait_for_function(loaded)
    page.locator("[data-metric]").select_option("cosine")
    expect(page.locator(".neighbour").first).to_be_visible()


def test_what_the_copy_leaves_out_is_said(page, copy, walked, api):
    gallery = api("runs/walk/gallery")
    last = f"{gallery['sets'][gallery['set'][-1]]['id']}~{gallery['index'][-1]}"
    page.goto(f"{copy}#view=example&run={walked.name}&example={last}")
    expect(page.get_by_role("alert").first).to_contain_text("This copy does not hold")
