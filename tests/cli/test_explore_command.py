"""pixelproof explore: a real server on a real socket, its link, and the end of the demo."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from explorer_run import explored
from pixelproof.cli.main import app
from tiny_runs import real

pytestmark = pytest.mark.slow

START = [sys.executable, "-c", "from pixelproof.cli import main; main()"]


@contextmanager
def served(*arguments):
    """A running server, and the link it printed."""
    process = subprocess.Popen(
        [*START, "explore", *arguments, "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("explorer: http"), line + process.stderr.read()
        yield line.removeprefix("explorer: ").strip()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def get(address, **headers):
    asked = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return answer.read(), answer.headers


def refused(address, **headers):
    """The status with which an address is refused."""
    with pytest.raises(urllib.error.HTTPError) as found:
        get(address, **headers)
    with found.value as answer:
        return answer.code


def test_the_printed_link_leads_to_an_example_that_fools():
    with served(str(explored().folder), "--port", "0") as link:
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/#view=example&run=(.+)&example=(.+)", link)
        page = json.loads(get(f"{found[1]}/api/runs/{found[2]}/examples/{found[3]}")[0])
        assert page["success"]
        assert refused(f"{found[1]}/api", Host="evil.example") == 400


def test_with_a_token_the_link_carries_it():
    with served(str(explored().folder), "--port", "0", "--token", "a-long-secret") as link:
        base = link.partition("/?")[0]
        assert refused(f"{base}/api") == 401
        assert get(f"{base}/api", Authorization="Bearer a-long-secret")


def test_ctrl_c_says_that_the_explorer_stopped_also_while_somebody_listens():
    process = subprocess.Popen(
        [*START, "explore", str(real().folder), "--no-browser", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
    run = json.loads(get(f"{found[0]}/api")[0])["runs"][0]["id"]
    pixels = base64.b64encode(bytes(4 * 64)).decode()
    asked = {"session": "one", "pixels": pixels, "label": 3, "attack": "pgd:eps=0.1,steps=5000"}
    body = urllib.request.Request(
        f"{found[0]}/api/runs/{run}/live/attacks", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(body, timeout=60) as answer:
        events = json.loads(answer.read())["events"]
    with urllib.request.urlopen(f"{found[0]}/api/{events}", timeout=60) as stream:
        assert stream.readline().startswith(b"data:")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "explorer has stopped" in said
    assert "Traceback" not in said
    assert "interrupted" not in said


def test_bad_runs_are_one_sentence(tmp_path):
    found = subprocess.run([*START, "explore", str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert found.returncode == 1
    assert "expected a run" in found.stderr
    assert found.stderr.count("\n") == 1


def test_help_is_instant_and_says_where_it_listens():
    started = time.process_time()
    found = CliRunner().invoke(app, ["explore", "--help"])
    assert time.process_time() - started < 2
    assert "127.0.0.1" in found.output


def test_the_demo_serves_only_at_a_terminal(monkeypatch, tmp_path):
    """Outside a terminal it prints the command instead; asked to, it serves."""
    from pixelproof.cli import studies

    monkeypatch.setattr(studies, "_conduct", lambda *_: None)
    opened = []
    monkeypatch.setattr(studies, "explore", lambda folders, no_browser: opened.append(folders))
    found = CliRunner().invoke(app, ["demo", "--out", str(tmp_path)])
    assert f"pixelproof explore {tmp_path}" in found.output.replace("\n", "")
    assert opened == []
    monkeypatch.setattr(os, "environ", {**os.environ, "CI": "true"})
    CliRunner().invoke(app, ["demo", "--out", str(tmp_path), "--serve"])
    assert opened == [[tmp_path]]
