"""The pages come up in a real browser, ask nobody but their own server, and forbid what they do not need."""

from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.browser


def test_the_link_opens_and_asks_nobody_else(quiet_page, served, base_url):
    asked = []
    quiet_page.on("request", lambda request: asked.append(request.url))
    quiet_page.goto(served)
    quiet_page.wait_for_load_state("networkidle")
    assert quiet_page.locator("main").count() == 1
    own = urlsplit(base_url).netloc
    assert {urlsplit(url).netloc for url in asked if urlsplit(url).scheme != "data"} == {own}
    assert any("/api/runs/explored" in url for url in asked)


def test_the_policy_stops_foreign_scripts_and_eval(page, served):
    page.goto(served)
    assert (
        page.evaluate("() => { try { return new Function('return 1')() } catch (e) { return e.name } }") == "EvalError"
    )
    stopped = """() => new Promise((done) => {
        const script = document.createElement('script');
        script.src = 'https://example.org/x.js';
        script.onload = () => done('loaded');
        script.onerror = () => done('stopped');
        document.head.append(script);
    })"""
    assert page.evaluate(stopped) == "stopped"
