"""A report's HTML as the text that a reader meets: headings, paragraphs, table rows, captions and text alternatives."""

from __future__ import annotations

from html.parser import HTMLParser

LINES = {"h1", "h2", "h3", "h4", "p", "caption", "figcaption", "summary", "dt", "dd", "pre", "li", "nav", "footer"}
VOID = {"img", "br", "meta", "link", "input", "hr"}
UNREAD = {"style", "script", "svg", "head"}


class Reader(HTMLParser):
    """Collects lines per section; a table row is one line."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: dict[str, list[str]] = {"": []}
        self._section, self._depth, self._unread = "", 0, 0
        self._tag, self._words = "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for key in ("alt", "aria-label"):
            if given.get(key):
                self._flush()
                self.sections[self._section].append(f"{tag} {key}: {_tidy(str(given[key]))}")
        if tag in UNREAD:
            self._unread += 1
        elif tag == "section":
            self._flush()
            self._section = given.get("id") or given.get("aria-labelledby") or f"section {len(self.sections)}"
            self.sections.setdefault(self._section, [])
        elif tag == "tr" or tag in LINES:
            self._flush()
            self._tag = tag
        elif tag in ("td", "th") and self._words.strip():
            self._words += " | "

    def handle_endtag(self, tag: str) -> None:
        if tag in UNREAD:
            self._unread -= 1
        elif tag == "section":
            self._flush()
            self._section = ""
        elif tag == "tr" or tag in LINES:
            self._flush()

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self._words += data

    def _flush(self) -> None:
        text = _tidy(self._words)
        if text:
            self.sections[self._section].append(f"{self._tag}: {text}")
        self._tag, self._words = "", ""


def read(html: str) -> dict[str, list[str]]:
    """The lines of each section by its anchor; "" holds what stands outside all of them."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    return {name: lines for name, lines in reader.sections.items() if lines}


def _tidy(text: str) -> str:
    return " ".join(text.replace("\u00a0", " ").split())
