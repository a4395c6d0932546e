"""The pages come up from the printed link, ask nobody but their own server, and load no foreign script."""

from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.slow


def test_the_pages_ask_nobody_else(visit, page, site, start):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    visit(view="example", example=start)
    page.wait_for_load_state("networkidle")
    assert {urlsplit(url).netloc for url in asked if urlsplit(url).scheme != "data"} == {urlsplit(site).netloc}
    assert any(f"/api/runs/walk/examples/{start}" in url for url in asked)


def test_the_policy_stops_foreign_scripts(page, site):
    page.goto(site)
    stopped = """() => new Promise((done) => {
        document.addEventListener('securitypolicyviolation', (event) => done(event.violatedDirective));
        const script = document.createElement('script');
        script.src = 'https://example.org/x.js';
        script.onload = () => done('loaded');
        document.head.append(script);
    })"""
    assert page.evaluate(stopped).startswith("script-src")
