"""Building the pages at installation: with the node at hand, with one of our own, and not failing without any."""

import importlib.util
import os
import sys
import types
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "hatch_build.py"


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("hatch_build", SOURCE)
    found = importlib.util.module_from_spec(spec)
    interface = types.ModuleType("hatchling.builders.hooks.plugin.interface")
    interface.BuildHookInterface = object  # hatchling lives in build environments only
    names = interface.__name__.split(".")
    with pytest.MonkeyPatch.context() as patch:
        for end in range(1, len(names)):
            patch.setitem(sys.modules, ".".join(names[:end]), types.ModuleType(".".join(names[:end])))
        patch.setitem(sys.modules, interface.__name__, interface)
        spec.loader.exec_module(found)
    return found


@pytest.fixture
def hook(module, tmp_path, monkeypatch):
    """The hook over a small tree, and what it warned about."""
    monkeypatch.delenv("PIXELPROOF_WEB", raising=False)
    (tmp_path / "frontend").mkdir()
    (tmp_path / "frontend" / "package.json").write_text("{}")
    made = module.PagesHook()
    made.root = str(tmp_path)
    made.warned = []
    made.app = types.SimpleNamespace(display_warning=made.warned.append)
    return made


def node(folder, version, build="exit 0"):
    """A node and an npm that do what a test wants."""
    folder.mkdir(exist_ok=True)
    for name, text in (("node", f"echo v{version}"), ("npm", build)):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def built(root):
    page = Path(root) / "src" / "pixelproof" / "web" / "static" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("built")
    return page


def test_the_node_at_hand_builds(hook, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", node(tmp_path / "bin", "20.19.0", f'echo "$@" >> {tmp_path}/asked') + ":/bin:/usr/bin")
    assert hook.dependencies() == []
    hook.initialize("standard", {})
    assert (tmp_path / "asked").read_text().splitlines() == ["ci --no-audit --no-fund", "run build"]
    assert hook.warned == []


@pytest.mark.parametrize("version", ["18.20.1", "20.18.3", "x"])
def test_an_old_node_is_not_used(hook, module, tmp_path, monkeypatch, version):
    monkeypatch.setenv("PATH", node(tmp_path / "bin", version) + ":/bin:/usr/bin")
    assert module.own_npm() is None
    assert hook.dependencies() == [module.NODE_WHEEL]


def test_without_npm_the_installation_goes_on_with_a_warning(hook, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    hook.initialize("editable", {})
    assert "make web" in hook.warned[0]


def test_a_registry_out_of_reach_is_a_warning_with_npms_words(hook, tmp_path, monkeypatch):
    path = node(tmp_path / "bin", "22.12.0", "echo ENOTFOUND registry; exit 1") + ":/bin:/usr/bin"
    monkeypatch.setenv("PATH", path)
    hook.initialize("standard", {})
    assert "ENOTFOUND registry" in hook.warned[0]
    monkeypatch.setenv("PIXELPROOF_WEB", "require")
    with pytest.raises(RuntimeError, match="ENOTFOUND"):
        hook.initialize("standard", {})


def test_fresh_pages_are_not_built_again_and_changed_sources_are(hook, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", node(tmp_path / "bin", "20.19.0", f"touch {tmp_path}/asked") + ":/bin:/usr/bin")
    built(tmp_path)
    hook.initialize("standard", {})
    assert not (tmp_path / "asked").exists()
    assert hook.dependencies() == []
    source = tmp_path / "frontend" / "main.ts"
    source.write_text("changed")
    os.utime(source, (2e9, 2e9))
    hook.initialize("standard", {})
    assert (tmp_path / "asked").exists()


def test_pages_can_be_left_out(hook, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PIXELPROOF_WEB", "skip")
    assert hook.dependencies() == []
    hook.initialize("standard", {})
    assert hook.warned == []


def test_the_hook_is_named_in_the_project():
    text = (SOURCE.parent / "pyproject.toml").read_text()
    assert "[tool.hatch.build.hooks.custom]" in text
    assert 'artifacts = ["src/pixelproof/web/static/**"]' in text
