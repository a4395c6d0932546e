"""A run folder gives back what was put in, is never half written, and says clearly when it cannot be used."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pixelproof.atomic import write_whole
from pixelproof.errors import CorruptFile, RunError
from pixelproof.results import CleanRecord
from pixelproof.run import FORMAT, Run, environment
from tiny_runs import forge

SPEC = {"name": "a", "eps": [0.1, 0.2]}


@dataclass(frozen=True, eq=False)
class Inner:
    values: Tensor
    note: str | None


@dataclass(frozen=True, eq=False)
class Outer:
    name: str
    count: int
    share: float
    flag: bool
    absent: Tensor | None
    maybe: Inner | None
    inner: Inner
    by_name: dict[str, Tensor]
    plain: dict[str, float]
    parts: tuple[Tensor, ...]
    names: tuple[str, ...]
    nested: tuple[Inner, ...]


def outer(**changes):
    values = {
        "name": "é \x7f",
        "count": 3,
        "share": 0.1,
        "flag": True,
        "absent": None,
        "maybe": None,
        "inner": Inner(torch.arange(6).view(2, 3), None),
        "by_name": {"l2": torch.rand(3), "linf": torch.tensor([True, False])},
        "plain": {"a.b": 1.5, "": -0.0},
        "parts": (torch.rand(2), torch.empty(0, 4)),
        "names": ("x", "y"),
        "nested": (Inner(torch.rand(1), "one"), Inner(torch.rand(2).half(), None)),
    }
    return Outer(**values | changes)


def same(a, b):
    """Equality through dataclasses, mappings, tuples and tensors (also their types)."""
    assert type(a) is type(b)
    if isinstance(a, Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            same(left, right)
    elif hasattr(a, "__dataclass_fields__"):
        for field in a.__dataclass_fields__:
            same(getattr(a, field), getattr(b, field))
    else:
        assert a == b


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", SPEC)


@pytest.mark.parametrize(
    "changes",
    [{}, {"maybe": Inner(torch.rand(2), "x")}, {"absent": torch.rand(1)}, {"nested": (), "parts": (), "by_name": {}}],
    ids=["absent", "nested present", "tensor present", "empty"],
)
def test_round_trip(run, changes):
    value = outer(**changes)
    run.save("a/result", value)
    same(run.load("a/result", Outer), value)
    assert run.names() == run.names("a/") == ["a/result"]
    assert run.has("a/result")
    assert not run.has("a")


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.floats(allow_nan=False), max_size=3), st.integers(0, 5))
def test_round_trip_of_any_names_and_numbers(tmp_path_factory, plain, n):
    run = Run.create(tmp_path_factory.mktemp("run"), SPEC)
    value = outer(plain=plain, by_name={key: torch.rand(n) for key in plain})
    run.save("result", value)
    same(run.load("result", Outer), value)


def test_tensors_that_share_memory_or_are_views(run):
    base = torch.arange(12.0).view(3, 4)
    value = outer(parts=(base, base, base[:, 1], base.t(), base[1:]))
    run.save("result", value)
    same(run.load("result", Outer), value)


def test_a_result_is_replaced_whole(run):
    run.save("result", outer(count=1))
    run.save("result", outer(count=2))
    assert run.load("result", Outer).count == 2


def no_part_left(run):
    return not list(run.folder.rglob("*.part"))


@pytest.mark.parametrize("fault", [OSError("No space left"), KeyboardInterrupt(), RuntimeError("bug")])
def test_a_failed_save_keeps_the_old_result_and_leaves_nothing(run, monkeypatch, fault):
    run.save("result", outer(count=1))
    save = safetensors.torch.save_file

    def fail_half_way(tensors, path, metadata):
        save(tensors, path, metadata)
        raise fault

    monkeypatch.setattr("safetensors.torch.save_file", fail_half_way)
    with pytest.raises(RunError if isinstance(fault, OSError) else type(fault)):
        run.save("result", outer(count=2))
    assert run.load("result", Outer).count == 1
    assert no_part_left(run)


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "file"
    write_whole(path, b"old")
    with monkeypatch.context() as patched:
        patched.setattr("pixelproof.run.os.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(RunError, match="full"):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file"]


def test_a_run_is_complete_when_it_says_so(run):
    assert not run.complete
    assert run.facts == {}
    run.finish({"device": "cpu"})
    again = Run.open(run.folder)
    assert again.complete
    assert again.spec == SPEC
    assert again.facts["device"] == "cpu"
    assert again.facts["format"] == FORMAT
    assert set(environment()["versions"]) >= {"python", "pixelproof", "torch"}


def test_the_same_spec_continues_and_another_is_refused(run):
    run.save("result", outer())
    assert Run.create(run.folder, SPEC | {"eps": (0.1, 0.2)}).has("result")  # a tuple is JSON's list
    with pytest.raises(RunError, match=r"other settings; got eps, seed\. Choose another folder"):
        Run.create(run.folder, SPEC | {"eps": [0.1], "seed": 1})
    assert Run.open(run.folder).spec == SPEC


def test_a_run_grows_with_its_spec_and_is_then_unfinished(run):
    run.save("result", outer())
    run.finish({})
    wider = SPEC | {"seed": 1}
    with pytest.raises(RunError, match="other settings; got seed"):
        Run.create(run.folder, wider, grows=lambda run, after: False)
    assert Run.open(run.folder).complete
    grown = Run.create(run.folder, wider, grows=lambda run, after: run.spec == SPEC and after == wider)
    assert grown.has("result")
    assert not grown.complete
    assert Run.open(run.folder).spec == wider


def test_a_newer_format_is_refused(run):
    for attempt in (lambda: Run.open(run.folder), lambda: Run.create(run.folder, SPEC)):
        (run.folder / "spec.json").write_text(json.dumps({"format": FORMAT + 1, "spec": SPEC}))
        with pytest.raises(RunError, match=rf"reads run format {FORMAT}; got format {FORMAT + 1}\. Upgrade"):
            attempt()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "x", "spec": {}}', '{"format": null, "spec": {}}'])
def test_a_corrupt_spec_is_one_clear_error(run, text):
    (run.folder / "spec.json").write_text(text)
    with pytest.raises(RunError, match="must be readable"):
        Run.open(run.folder)


@pytest.mark.parametrize("number", [0, -1, True, 1.5, "1"])
def test_a_format_that_never_was_is_refused(run, number):
    (run.folder / "spec.json").write_text(json.dumps({"format": number, "spec": SPEC}))
    with pytest.raises(RunError, match=f"must be readable; got format {number}"):
        Run.open(run.folder)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": ' + "9" * 5000 + "}", '{"format": 1e400, "spec": {}}'])
def test_json_that_no_study_writes_is_one_clear_error(run, text):
    (run.folder / "spec.json").write_text(text)
    with pytest.raises(RunError, match="must be readable"):
        Run.open(run.folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seconds": [1]}, "seconds of type list"),
        ({"device": 3}, "device of type int"),
        ({"versions": None}, "NoneType"),
    ],
)
def test_facts_of_other_types_are_one_clear_error(run, change, said):
    run.finish({"device": "cpu", "seconds": {}} | change)
    with pytest.raises(RunError, match=f"{said}.*Run the same study again"):
        _ = run.facts
    (run.folder / "run.json").write_text('{"format": 1}')
    with pytest.raises(RunError, match="no finished, versions"):
        _ = run.facts


def flip(path, position):
    """One bit of a file, from its end where the position is negative."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("position", [-1, -30, 200])
def test_a_flipped_bit_is_noticed_and_the_result_made_again(run, position):
    run.save("result", outer())
    run.save("other", outer())
    run.finish({})
    run.release()
    flip(run.path("result"), position)
    with pytest.raises(CorruptFile, match=r"expected a saved Outer.*Delete it and run again"):
        run.load("result", Outer)
    again = Run.create(run.folder, SPEC)
    assert list(again.damaged) == ["result"]
    assert again.names() == ["other"]
    assert not again.complete
    assert not Run.create(run.folder, SPEC).damaged


def test_what_says_that_a_folder_is_whole_goes_with_a_damaged_part_of_it(run):
    for name in ("index/guard.store/layer0", "index/guard.store/store", "index/guard", "index2/store"):
        run.save(name, outer())
    flip(run.path("index/guard.store/layer0"), -1)
    assert Run.create(run.folder, SPEC).names() == ["index2/store"]


@pytest.mark.parametrize("name", ["seconds.json", "run.json"])
def test_a_damaged_note_beside_the_results_is_written_anew(run, name):
    run.save("result", outer())
    run.spend("train", 1.0)
    run.finish({})
    (run.folder / name).write_text("{")
    again = Run.create(run.folder, SPEC)
    assert list(again.damaged) == [name]
    assert again.names() == ["result"]
    again.spend("train", 1.0)
    assert again.seconds == {"train": 1.0 if name == "seconds.json" else 2.0}


def test_a_pipe_in_place_of_a_file_is_one_clear_error(run):
    """Reading a pipe would never end; the study is not begun over it either."""
    run.save("result", outer())
    run.finish({})
    run.release()
    for path in (run.path("result"), run.folder / "run.json", run.folder / "spec.json"):
        path.unlink()
        os.mkfifo(path)
    with pytest.raises(CorruptFile, match="expected a saved Outer; got a pipe or a device"):
        run.load("result", Outer)
    with pytest.raises(RunError, match="must be readable; got a pipe or a device"):
        _ = run.facts
    with pytest.raises(RunError, match="must be readable; got a pipe or a device"):
        Run.open(run.folder)


def test_a_result_without_checksums_is_taken_as_it_is(run):
    run.save("result", outer(count=1))
    with safetensors.safe_open(run.path("result"), "pt") as file:
        notes, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    safetensors.torch.save_file(tensors, run.path("result"), {"plain": notes["plain"]})
    assert run.load("result", Outer).count == 1
    assert not Run.create(run.folder, SPEC).damaged


HOLDER = """
import sys, time
from pathlib import Path
from pixelproof.run import Run
run = Run.create(Path(sys.argv[1]), {"name": "a", "eps": [0.1, 0.2]})
(run.folder / f".result.safetensors.{__import__('os').getpid()}.part").write_text("half")
print("held", flush=True)
time.sleep(60)
"""


def test_one_process_at_a_time_writes_into_a_run(run):
    run.save("result", outer())
    run.release()
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, run.folder], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=rf"written by another process; got process {holder.pid} on .+ since 20"):
            Run.create(run.folder, SPEC)
        assert Run.open(run.folder).load("result", Outer).count == 3  # who only reads is not kept waiting
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    assert list(run.folder.rglob("*.part"))
    again = Run.create(run.folder, SPEC)  # a dead owner's folder is taken over, and tidied
    assert not list(run.folder.rglob("*.part"))
    assert Run.create(run.folder, SPEC).names() == ["result"]  # the same process may begin again
    again.release()
    assert not (run.folder / ".owner").exists()


def test_what_a_dead_process_left_beside_a_file_is_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old, fresh, living = (tmp_path / f".file.{pid}.part" for pid in (dead.pid, dead.pid + 0.5, os.getppid()))
    for left in (old, living):
        left.write_text("half")
        os.utime(left, (0, 0))
    fresh.write_text("half")
    write_whole(tmp_path / "file", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([fresh.name, living.name, "file"])


def test_a_run_that_could_not_begin_leaves_nothing(tmp_path):
    run = Run.create(tmp_path / "run", SPEC)
    run.withdraw()
    assert not list(tmp_path.iterdir())
    run = Run.create(tmp_path / "run", SPEC)
    run.save("result", outer())
    run.withdraw()
    assert Run.open(run.folder).names() == ["result"]


def test_a_folder_of_something_else_is_refused_and_untouched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"must be empty or hold a run"):
        Run.create(tmp_path, SPEC)
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize("where", ["absent", "file", "file/below"])
def test_no_run_there(tmp_path, where):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="expected a run folder"):
        Run.open(tmp_path / where)


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_folder_that_cannot_be_made(tmp_path, where):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="must be writable"):
        Run.create(tmp_path / where, SPEC)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="must be writable"):
            Run.create(tmp_path / "run", SPEC)
    finally:
        tmp_path.chmod(0o700)


def test_a_result_cannot_be_saved_under_a_file(run):
    (run.folder / "attack").write_text("in the way")
    with pytest.raises(RunError, match="must be writable"):
        run.save("attack/pgd", outer())


def test_a_missing_result_is_named(run):
    with pytest.raises(RunError, match=r"has no result 'clean'\. Run the study to its end first"):
        run.load("clean", Outer)


def test_a_corrupt_result_is_one_clear_error(run):
    run.save("result", outer())
    whole = run.path("result").read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"\xff" * 64):
        run.path("result").write_bytes(content)
        with pytest.raises(CorruptFile, match=r"expected a saved Outer.*Delete it and run again"):
            run.load("result", Outer)


def test_another_kind_of_result_is_one_clear_error(run):
    run.save("result", Inner(torch.rand(1), None))
    with pytest.raises(CorruptFile, match="expected a saved Outer"):
        run.load("result", Outer)
    safetensors.torch.save_file({"x": torch.rand(1)}, run.path("foreign"))
    with pytest.raises(CorruptFile, match="expected a saved Inner"):
        run.load("foreign", Inner)


def test_parts_of_a_result_are_read_without_the_rest(tmp_path):
    run = Run.create(tmp_path, {"name": "parts"})
    run.save("clean", forge(tmp_path / "other").load("clean", CleanRecord))
    whole = run.load("clean", CleanRecord)
    assert run.plain("clean")["classes"] == list(whole.classes)
    assert {"index", "labels", "predicted"} <= run.keys("clean")
    assert torch.equal(run.tensor("clean", "labels"), whole.labels)
    assert torch.equal(run.tensor("clean", "labels", slice(2, 5)), whole.labels[2:5])
    with pytest.raises(RunError, match="has no result 'nothing'"):
        run.tensor("nothing", "labels")
    with pytest.raises(CorruptFile, match="expected a saved result"):
        run.tensor("clean", "nothing")
