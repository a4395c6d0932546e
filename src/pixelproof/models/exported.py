"""Exported programs (torch.export, .pt2), read only when nothing in the file can run by being read.

torch.export.load falls back to unrestricted unpickling, evaluates shape expressions as Python, compiles guards from
strings and looks operators up by any dotted path under torch. A file is therefore inspected first, through the very
reader that torch will use, and anything outside a short list of plain forms is refused: tensors as raw bytes, sample
inputs that the restricted unpickler accepts, ATen operators, plain names, shapes that are numbers or symbols.
"""

from __future__ import annotations

import io
import json
import logging
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pixelproof.data.files import check_plain
from pixelproof.errors import BadInput, CorruptFile, PixelproofError
from pixelproof.types import Images, Logits

WHO = "exported program"
ENTRY = re.compile(
    r"data/(weights/(weight_\d+|model_weights_config\.json)|constants/(tensor_\d+|model_constants_config\.json))"
    r"|data/sample_inputs/model\.pt"
    r"|models/model\.json|archive_format|archive_version|byteorder|\.data/(version|serialization_id)"
)
OPERATOR = re.compile(r"torch\.ops\.aten\.(?!from_file)\w+\.\w+")
ARITHMETIC = {f"_operator.{name}" for name in ("getitem", "add", "sub", "mul", "floordiv", "mod", "eq", "ge", "le")}
SYMBOL = re.compile(r"Symbol\('[a-z]+\d+'(, (positive|integer)=True)*\)")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ITEM_BYTES = {3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 13: 2}  # by the format's number of a type
MANY = 2**16  # a program for fewer images than this was exported for a limited number
EXPORT = (
    'Export it again: torch.export.export(net.eval(), (images,), dynamic_shapes=({0: torch.export.Dim("batch")},)).'
)
TREE = {"builtins.tuple", "builtins.list", "builtins.dict", None}


class Program(nn.Module):
    """An exported program as a network. Its mode was fixed when it was exported: train() and eval() change nothing."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.training = False

    def train(self, mode: bool = True) -> Program:
        """Nothing: dropout and batch statistics are what they were at export."""
        return self

    def forward(self, images: Images) -> Logits:
        """What the program puts out."""
        logits: Tensor = self.inner(images)
        return logits


def read_program(path: Path) -> Program:
    """The program in a .pt2 file of torch.export.save; raises CorruptFile when it is none or holds more than one may.

    Raises BadInput for one that was exported for a limited number of images or in training mode.
    """
    check_plain(path, "model")
    content = path.read_bytes()
    try:
        inspect(content)
        with _unsaid():
            program = torch.export.load(io.BytesIO(content))
        check_general(str(path), program)
        return Program(program.module())
    except PixelproofError:
        raise
    except Exception as reason:  # torch raises many kinds for a damaged file
        detail = (str(reason).splitlines() or [type(reason).__name__])[0][:200]
        raise CorruptFile(str(path), "expected a torch.export program", detail, "Export it again.") from reason


@contextmanager
def _unsaid() -> Iterator[None]:
    """Keep torch from printing the traceback of an error that it raises as well."""
    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def check_general(who: str, program: torch.export.ExportedProgram) -> None:
    """Refuse a program that takes a limited number of images, or whose answer to one depends on the others or chance.

    Batch normalisation without running statistics uses the batch's in evaluation, too; that is the network's own doing
    and is left to the probe.
    """
    images = next(node for node in program.graph.nodes if node.name == program.graph_signature.user_inputs[0])
    batch = images.meta["val"].shape[0]
    most = batch
    if isinstance(batch, torch.SymInt):
        most = next(
            (each.upper for symbol, each in program.range_constraints.items() if str(symbol) == str(batch)), MANY
        )
    if most < MANY:
        got = f"{most} at most" if isinstance(batch, torch.SymInt) else f"a fixed batch of {batch}"
        raise BadInput(who, "must take any number of images", got, EXPORT)
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if node.op != "call_function" or schema is None:
            continue
        names = [argument.name for argument in schema.arguments]
        given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        kept = "running_mean" not in names or given.get("running_mean") is not None
        if kept and any(given.get(name) is True for name in ("training", "train")) and given.get("p", 1) != 0:
            name = str(schema.name).removeprefix("aten::")
            raise BadInput(who, "must be exported in evaluation mode", f"{name} in training mode", EXPORT)


def inspect(content: bytes) -> None:
    """Raise CorruptFile for any part of the archive that could run code when it is read."""
    reader = torch._C.PyTorchFileReader(io.BytesIO(content))
    entries = reader.get_all_records()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:  # torch falls back to this reader for older files
        listed = [name.partition("/")[2] for name in archive.namelist()]
        packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
        _demand(not packed, "records that are not compressed", packed)
        damaged = archive.testzip()
        _demand(damaged is None, "whole records", f"another checksum in {damaged}")
    _demand(sorted(listed) == sorted(entries) and len(set(listed)) == len(listed), "one reading of its entries", listed)
    for entry in entries:
        _demand(ENTRY.fullmatch(entry) is not None, "only raw tensors and a graph", entry)
    for part in ("weights", "constants"):
        config = json.loads(reader.get_record(f"data/{part}/model_{part}_config.json"))["config"]
        for name, payload in config.items():
            raw = payload["use_pickle"] is False and re.fullmatch(r"(weight|tensor)_\d+", payload["path_name"])
            _demand(bool(raw), "tensors as raw bytes", f"{name}: {payload['path_name']}")
            size, least = len(reader.get_record(f"data/{part}/{payload['path_name']}")), _bytes(payload["tensor_meta"])
            _demand(size >= least, f"{least} bytes of '{name}'", size)
    torch.load(io.BytesIO(reader.get_record("data/sample_inputs/model.pt")), weights_only=True)
    program = json.loads(reader.get_record("models/model.json"))
    _demand(not program.get("guards_code"), "no guards (they are Python code)", program.get("guards_code"))
    for key, value in _leaves(program):
        _inspect_leaf(key, value)
    for name in program["range_constraints"]:
        _demand(NAME.fullmatch(name) is not None, "plain names", name)


def _bytes(meta: dict[str, Any]) -> int:
    """How many bytes a tensor's record must have at least, by its sizes, strides and type."""
    sizes, strides = ([int(each["as_int"]) for each in meta[key]] for key in ("sizes", "strides"))
    last = sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    values = int(meta["storage_offset"]["as_int"]) + last + 1 if all(sizes) else 0
    return values * ITEM_BYTES.get(int(meta["dtype"]), 1)


def _inspect_leaf(key: str, value: Any) -> None:
    if key == "expr_str":
        _demand(SYMBOL.fullmatch(value) is not None, "shapes that are numbers or symbols", value)
    elif key == "target":
        _demand(value in ARITHMETIC or OPERATOR.fullmatch(value) is not None, "ATen operators only", value)
    elif key in ("name", "as_name", "forward_arg_names"):
        _demand(value == "" or NAME.fullmatch(value) is not None, "plain names", value)
    elif key in ("in_spec", "out_spec") and value:
        for inner, leaf in _leaves(json.loads(value)):
            _demand(inner != "type" or leaf in TREE, "tuples, lists and dicts of tensors", leaf)


def _leaves(tree: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a JSON tree with the key it is found under."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _leaves(value, name)
    elif isinstance(tree, list):
        for value in tree:
            yield from _leaves(value, key)
    else:
        yield key, tree


def _demand(holds: bool, expected: str, got: object) -> None:
    if not holds:
        raise CorruptFile(WHO, f"expected {expected}", got, "Export it again, or load it from your own .py file.")
