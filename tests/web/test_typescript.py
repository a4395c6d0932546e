"""The TypeScript that the pages are written against is the one this API makes; every address is documented."""

from pixelproof.web.typescript import TARGET, typescript


def test_typescript_is_in_step_with_the_api():
    assert TARGET.read_text() == typescript(), "run: python -m pixelproof.web.typescript"
