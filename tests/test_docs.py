"""The documents tell the truth: links lead somewhere, Python runs, commands and study keys exist."""

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pixelproof.cli import main

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language in a page; "" are plain ones, where commands stand."""
    return [body for found, body in FENCE.findall(page.read_text()) if found == language]


COMMANDS = {
    line.split("#")[0].strip()
    for page in PAGES
    for block in blocks(page, "")
    for line in block.splitlines()
    if line.startswith("pixelproof ")
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_example_runs():
    example = blocks(ROOT / "README.md", "python")[0]
    done = subprocess.run([sys.executable, "-W", "error", "-c", example], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "%" in done.stdout


def test_there_are_commands_to_check():
    assert len(COMMANDS) >= 7


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_commands_and_their_options_exist(command, monkeypatch, capsys):
    words = shlex.split(command)[1:]
    group = words[:2] if words[0] == "data" else words[:1]
    monkeypatch.setattr(sys, "argv", ["pixelproof", *group, "--help"])
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as exit_:
        main()
    signal.signal(signal.SIGINT, before)
    assert not exit_.value.code
    shown = capsys.readouterr().out
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}(?![\w-])", shown), f"{option} is not an option of {' '.join(group)}"


@pytest.mark.parametrize("study_file", sorted((ROOT / "studies").glob("*.toml")), ids=lambda path: path.name)
def test_studies_are_valid(study_file):
    from pixelproof import study

    assert study.load(study_file).name == study_file.stem


def test_the_tutorials_study_is_valid(tmp_path):
    from pixelproof import study

    path = tmp_path / "my-study.toml"
    path.write_text(blocks(ROOT / "docs" / "tutorial.md", "toml")[0])
    assert study.load(path).attacks.eps[-1] == 8 / 255
