"""A study gives the same numbers however often it was killed, and a kill loses nothing that was done."""

import json
import shutil
import time

import pytest
import torch

from pixelproof import study
from pixelproof.errors import PixelproofError, RunError
from pixelproof.models import History, open_saved
from pixelproof.results import AttackRecord, CleanRecord
from pixelproof.run import Run

SWEPT = {
    "name": "killed",
    "title": "Killed and resumed",
    "data": {"name": "digits", "train": 300, "test": 40},
    "training": {"epochs": 2, "batch": 16},
    "attacks": {"specs": ["fgsm", "pgd:steps=3", "pgd:steps=2,eps=0.3"], "eps": [0.1, 0.2], "examples": 5},
}
INDEPENDENT = SWEPT | {"attacks": SWEPT["attacks"] | {"independent": True}}
RESULTS = [
    "attack/fgsm/eps-0.1",
    "attack/fgsm/eps-0.2",
    "attack/pgd-steps-2-eps-0.3/eps-0.3",
    "attack/pgd-steps-3/eps-0.1",
    "attack/pgd-steps-3/eps-0.2",
    "clean",
    "history",
    "model",
]


def conduct(content, folder, listener=None):
    return study.conduct(study.parse(content), folder, device="cpu", listener=listener)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted runs."""
    folder = tmp_path_factory.mktemp("whole")
    return {name: conduct(content, folder / name) for name, content in CONTENTS.items()}


CONTENTS = {"swept": SWEPT, "independent": INDEPENDENT}


def tensors(run):
    """Every tensor of a run by name, but for the seconds that things took."""
    found = {}
    for name in run.names():
        kinds = {"clean": CleanRecord, "history": History}
        if name == "model":
            found |= {
                f"model.{key}": value
                for key, value in open_saved(run.path(name), torch.device("cpu")).state_dict().items()
            }
            continue
        record = run.load(name, kinds.get(name, AttackRecord))
        for field in record.__dataclass_fields__:
            value = getattr(record, field)
            parts = value.items() if isinstance(value, dict) else [("", value)]
            found |= {f"{name}.{field}.{key}": part for key, part in parts if isinstance(part, torch.Tensor)}
    return {name: value for name, value in found.items() if not name.startswith("history.seconds")}


def assert_same(a, b):
    assert a.names() == b.names() == RESULTS
    left, right = tensors(a), tensors(b)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


class Killer:
    """Raises at the `number`-th event of the first stage whose name starts with `stage`."""

    def __init__(self, stage, number, fault=KeyboardInterrupt):
        self.stage, self.left, self.fault, self.killed = stage, number, fault, False

    def __call__(self, event):
        assert 0 <= event.done <= event.total
        if event.stage.startswith(self.stage) and not self.killed:
            self.left -= 1
            if not self.left:
                self.killed = True
                raise self.fault


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize(
    ("stage", "number"), [("train", 1), ("train", 3), ("attack fgsm", 1), ("attack pgd", 1), ("attack pgd", 2)]
)
def test_a_killed_study_gives_the_same_numbers(tmp_path, whole, kind, stage, number):
    killer = Killer(stage, number)
    with pytest.raises(KeyboardInterrupt):
        conduct(CONTENTS[kind], tmp_path / "run", killer)
    half = Run.open(tmp_path / "run")
    assert not half.complete
    assert not list(half.folder.rglob("*.part"))
    before = {name: half.path(name).read_bytes() for name in half.names()}
    done = conduct(CONTENTS[kind], tmp_path / "run")
    assert done.complete
    assert_same(done, whole[kind])
    assert all(done.path(name).read_bytes() == content for name, content in before.items())
    assert len(before) >= (0 if stage == "train" else 3)


@pytest.mark.parametrize("name", ["history", "clean", "attack/fgsm/eps-0.2"])
def test_a_kill_between_two_results_gives_the_same_numbers(tmp_path, whole, monkeypatch, name):
    save = Run.save

    def killed(run, this, value):
        if this == name:
            raise KeyboardInterrupt
        save(run, this, value)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            conduct(SWEPT, tmp_path / "run")
    assert_same(conduct(SWEPT, tmp_path / "run"), whole["swept"])


def test_a_finished_study_is_not_run_again(whole):
    run = whole["swept"]
    facts, started = run.facts, time.time()
    again = conduct(SWEPT, run.folder, lambda event: pytest.fail(f"{event.stage} ran again"))
    assert again.facts == facts
    assert facts["finished"] <= started
    assert set(facts["seconds"]) >= {"train", "clean", "attack"}


def test_other_settings_need_another_folder(whole):
    with pytest.raises(RunError, match="other settings"):
        conduct(SWEPT | {"seed": 1}, whole["swept"].folder)


def test_the_seed_and_the_spec_are_kept(whole):
    run = whole["swept"]
    assert study.parse(run.spec) == study.parse(SWEPT)
    assert json.loads((run.folder / "spec.json").read_text())["spec"] == run.spec
    record = run.load("attack/pgd-steps-2-eps-0.3/eps-0.3", AttackRecord)
    assert record.eps == pytest.approx(0.3)
    assert record.label == "pgd:steps=2,eps=0.3"


def test_the_kept_images_are_those_of_the_facts(whole):
    record = whole["swept"].load("attack/pgd-steps-3/eps-0.2", AttackRecord)
    assert len(record.shown) == 5
    size = (record.images - record.clean).abs().flatten(1).amax(1)
    assert torch.allclose(size, record.distance["linf"][record.shown])


def test_a_damaged_result_is_said_and_made_again(tmp_path, whole):
    folder = shutil.copytree(whole["swept"].folder, tmp_path / "run")
    for name in ("attack/fgsm/eps-0.1", "model"):
        content = bytearray((folder / f"{name}.safetensors").read_bytes())
        content[-5] ^= 8
        (folder / f"{name}.safetensors").write_bytes(content)
    told = []
    assert_same(conduct(SWEPT, folder, lambda event: told.append(event.stage)), whole["swept"])
    assert told[:2] == ["attack/fgsm/eps-0.1 is damaged and made again", "model is damaged and made again"]


@pytest.mark.parametrize("change", [{"device": "tpu"}, {"root": "nowhere"}])
def test_a_study_that_cannot_begin_leaves_no_folder(tmp_path, monkeypatch, change):
    monkeypatch.setenv("PIXELPROOF_CACHE", str(tmp_path / "cache"))
    wanted = study.parse(SWEPT | {"data": {"name": str(tmp_path / "absent")}} if "root" in change else SWEPT)
    with pytest.raises(PixelproofError):
        study.conduct(wanted, tmp_path / "run", **{"device": "cpu"} | change)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"signatures": {"layers": ["fc9"], "k": [1]}}, "signatures: expected a known layer; got 'fc9'"),
        ({"signatures": {"k": [10, 65]}}, "k must be at most 64; got 65"),
        ({"guards": {"layers": ["conv9"]}}, "guards: expected a known layer; got 'conv9'"),
    ],
)
def test_settings_that_the_network_cannot_meet_are_refused_before_any_attack(tmp_path, whole, section, message):
    spec = SWEPT | {"seed": 2**63 - 1} | section
    folder = shutil.copytree(whole["swept"].folder, tmp_path / "run")
    (folder / "run.json").unlink()
    (folder / "clean.safetensors").unlink()
    stored = json.loads((folder / "spec.json").read_text())
    stored["spec"] = study.parse(spec).model_dump(mode="json")
    (folder / "spec.json").write_text(json.dumps(stored))
    with pytest.raises(PixelproofError, match=message):
        conduct(spec, folder)
    assert not Run.open(folder).has("clean")
