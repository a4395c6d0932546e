"""A network from a .py file of yours, or from timm."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from torch import nn

from pixelproof.data.files import check_plain
from pixelproof.errors import BadInput, UnknownName
from pixelproof.models.identity import is_library


def built(path: Path, attribute: str) -> nn.Module:
    """The module that `attribute` of a .py file is, or that it builds when called without arguments.

    Files beside it can be imported, as when the file is run by Python itself. Raises BadInput and UnknownName, with
    the file's own sentence, for a file that does not import and for what is no network.
    """
    check_plain(path, "model")
    with _beside(path.resolve().parent):
        module = _imported(path)
        if attribute not in vars(module):
            known = [name for name in vars(module) if name[0] != "_"]
            raise UnknownName(str(path), "function or class", attribute, known)
        made = vars(module)[attribute]
        try:
            net: Any = made if isinstance(made, nn.Module) else made()
        except Exception as reason:
            what = f"{type(reason).__name__}: {reason}"
            expected = "must build a network when called without arguments"
            raise BadInput(f"{path}:{attribute}", expected, what) from reason
    if not isinstance(net, nn.Module):
        raise BadInput(f"{path}:{attribute}", "must give a torch.nn.Module", type(net).__name__)
    return net


def timm_network(name: str, *, pretrained: bool) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    """A timm model with the mean and std that it wants."""
    try:
        import timm
    except ImportError as reason:
        raise BadInput("timm", "needs the extra", "no timm", "pip install 'pixelproof[timm]'.") from reason
    if not timm.is_model(name):
        raise UnknownName("timm", "timm model", name, timm.list_models())
    net = timm.create_model(name, pretrained=pretrained)
    settings = net.pretrained_cfg
    return net, tuple(settings["mean"]), tuple(settings["std"])


class _AsItStands(SourceFileLoader):
    """Reads a file's text, never its kept bytecode: Python takes that up after a change of the same size and second."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _imported(path: Path) -> ModuleType:
    name = f"_pixelproof_model_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_AsItStands(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up while it runs
    try:
        spec.loader.exec_module(module)
    except Exception as reason:
        raise BadInput(str(path), "must import without error", f"{type(reason).__name__}: {reason}") from reason
    return module


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Inside, files in `folder` can be imported by their bare names, read anew: another folder may use the same."""
    names = {file.stem for file in folder.glob("*.py")} | {file.parent.name for file in folder.glob("*/__init__.py")}
    for name in list(sys.modules):
        file = getattr(sys.modules[name], "__file__", None)
        if name.partition(".")[0] in names and file and not is_library(file):
            del sys.modules[name]
    sys.path.insert(0, str(folder))
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = kept
        sys.path.remove(str(folder))
