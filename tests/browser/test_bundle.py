"""What the browser must fetch before the first page can be used."""

import gzip
import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.slow

LARGEST = 150_000  # bytes, packed


def test_the_first_page_is_small(walked, page, site):
    fetched: dict[str, bytes] = {}

    def keep(answer):
        if re.search(r"\.(js|css|html)$|/$", answer.url.split("#")[0]):
            fetched[answer.url] = answer.body()

    page.on("response", keep)
    page.goto(f"{site}/#view=example&run={walked.name}")
    expect(page.locator("#lane")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert sum(len(gzip.compress(content)) for content in fetched.values()) < LARGEST
    assert not any("GraphView" in url for url in fetched), "the graph's code is asked for only when it is opened"
    assert all(url.startswith(site) for url in fetched), "nothing is asked of anybody else"
