"""Paper 2's stages in a study: complete, resumable, equal to numbers made without it, and reported."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

import unchecked
from pixelproof import attacks, data, report, study, views
from pixelproof.attacks import FGSM, PGD
from pixelproof.errors import BadInput
from pixelproof.models import open_saved
from pixelproof.report.defences import advice
from pixelproof.results import AuditRecord, HardenedRecord
from pixelproof.run import Run, slug
from pixelproof.study.conduct import STAGES
from pixelproof.study.context import Context
from pixelproof.views import OpenRun
from pixelproof.views.hardened import ClaimedRow, HardenedRow, Held, RowAudit, Spread
from pixelproof.views.overview import Macro
from pixelproof.views.training import TrainingHistory

CONTENT = {
    "name": "resist",
    "title": "Resist",
    "data": {"name": "digits"},
    "model": {"net": "mlp"},
    "training": {"epochs": 8, "batch": 32},
    "attacks": {"specs": [], "eps": [0.1]},
    "defences": {
        "seeds": 2,
        "n": 24,
        "steps": 5,
        "draws": 4,
        "scored": 4,
        "audit": 60,
        "search": {"trials": 2, "train": 300, "epochs": 1, "n": 20},
        "rows": [
            {"name": "baseline", "paper": {"training": 0.99, "clean": 0.98, "robust": 0.6, "time": 0.0}},
            {
                "name": "random 50 %",
                "specs": ["mask:ratio=0.5,fill=0,when=train"],
                "test": "masked:ratio=0.5,fill=0,draw=fresh",
                "paper": {"training": 0.95, "clean": 0.92, "robust": 0.85, "time": 0.15},
            },
            {"name": "learned", "specs": ["learned-mask:weight=0.01"]},
            {"name": "ibp", "specs": ["ibp:eps=0.03"], "training": "epochs=12"},
            {"name": "found", "searched": True},
        ],
    },
    "paper": [
        {
            "source": "Table II",
            "measure": "printed",
            "what": "accuracy",
            "text": "0.95",
            "row": "random 50 %",
            "values": [0.95],
        }
    ],
}


TWO = ("baseline", "random 50 %")
RANDOM = {"name": "random", "test": "masked:ratio=0.3,fill=0"}

pytestmark = pytest.mark.slow  # minutes of processor time: fourteen trainings, fourteen ensembles


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return unchecked.conduct(CONTENT, tmp_path_factory.mktemp("resist") / "run")


@pytest.fixture(scope="module")
def wider(run, tmp_path_factory):
    """The same run, gone on with a second network for two of the rows, attacked on fewer images."""
    folder = tmp_path_factory.mktemp("wider") / "run"
    shutil.copytree(run.folder, folder)
    section = CONTENT["defences"]
    rows = [row if row["name"] in TWO else row | {"nets": ["mlp"]} for row in section["rows"]]
    more = {"nets": ["mlp", "cnn"], "sizes": {"cnn": 20}, "rows": rows}
    return unchecked.conduct(CONTENT | {"defences": section | more}, folder)


def of(run):
    """What the run says of its defences."""
    return views.defences(OpenRun(run, "run"))


def test_eps_is_where_fgsm_leaves_the_baseline_the_wanted_share(run):
    (found,) = of(run).budgets
    model = open_saved(run.path("defences/models/mlp/baseline-0"), torch.device("cpu"))
    validation = data.load("digits", "val")
    left = attacks.mount(FGSM(found.eps), model, validation).robust_accuracy
    assert float(left) == pytest.approx(found.accuracy)
    assert abs(found.accuracy - 0.6) < 0.03
    assert found.n == len(validation)


def test_what_held_is_what_the_attacks_give_without_the_study(run):
    record = run.load("defences/rows/mlp/random-50---1", HardenedRecord)
    model = open_saved(run.path("defences/models/mlp/random-50---1"), torch.device("cpu"))
    sample = data.load("digits", "test")[record.rows]
    assert len(sample) == 24
    found = attacks.mount(PGD(record.eps, steps=5), model, sample, seed=1)
    assert float(record.held["pgd"].mean()) == pytest.approx(float(found.robust_accuracy))
    right = model.predict(sample.images).argmax(1) == sample.labels
    assert torch.equal(record.held["clean"], right.float())
    assert (record.held["auto"] <= record.held["clean"]).all()
    assert (record.held["auto"].mean() <= record.held["pgd"].mean() + 0.05).all()
    for name in HardenedRecord.MASKED:
        assert ((record.held[name] * 4).round() - record.held[name] * 4).abs().max() < 1e-5, "four draws each"


def test_rows_put_seeds_together(run):
    rows = {row.row: row for row in of(run).rows}
    assert list(rows) == ["baseline", "random 50 %", "learned", "ibp", "found"]
    base = rows["baseline"]
    records = [run.load(f"defences/rows/mlp/baseline-{seed}", HardenedRecord) for seed in (0, 1)]
    each = [float(record.held["auto"].mean()) for record in records]
    assert base.robust == pytest.approx(sum(each) / 2)
    assert (base.under("auto").low, base.under("auto").high) == (min(each), max(each))
    assert base.cost == pytest.approx(1)
    assert not any(each.mask_on for each in base.held)
    assert rows["learned"].features < 64 == base.features
    assert rows["ibp"].certified.value <= rows["ibp"].robust
    assert rows["ibp"].history.kept.epoch <= 12
    assert len(rows["ibp"].history.epochs) == 12
    assert json.dumps(of(run).model_dump(), allow_nan=False)


def test_the_front_and_the_utility_follow_from_the_rows(run):
    rows = of(run).rows
    held = views.front(rows)
    for row in rows:
        beaten = any(
            other.clean.value >= row.clean.value
            and other.robust >= row.robust
            and (other.clean.value, other.robust) != (row.clean.value, row.robust)
            for other in rows
        )
        assert (row.row in held) != beaten
    found = {entry.row: entry for entry in of(run).utilities}
    assert found["random 50 %"].claimed == pytest.approx((0.92 + 0.85) / 2)
    assert found["random 50 %"].best_claimed
    assert not found["baseline"].best_claimed


def test_the_search_is_ordered_and_its_best_mask_becomes_a_row(run):
    found = of(run).search
    assert {row.attack for row in found} == {"pgd:steps=20"}
    assert len(found) == 2
    assert found[0].utility >= found[1].utility
    assert all(row.utility == pytest.approx((row.clean + row.robust) / 2) for row in found)
    row = next(row for row in of(run).rows if row.row == "found")
    assert row.defences == (found[0].mask,)
    assert len(row.history.epochs) == 8, "the study's epochs, not those of the trials"


def test_each_row_is_audited_and_one_with_a_mask_at_test_twice(run):
    rows = {row.row: row for row in of(run).rows}
    assert all(row.audit for row in rows.values())
    assert [name for name, row in rows.items() if row.audit_on] == ["random 50 %"]
    on, off = rows["random 50 %"].audit_on, rows["random 50 %"].audit
    assert "EOT over 20 draws" in on.verdict
    assert "non-determinism" in on.raised
    assert "EOT" not in off.verdict
    learning = {name: "train and test attack identical" in row.audit.raised for name, row in rows.items()}
    assert not any(learning.values())


def test_nothing_before_the_judging_touches_the_test_images(tmp_path, monkeypatch):
    """Training, the bisection of eps and the search, with a test set that fails when it is touched."""
    rows = [{"name": "baseline"}, {"name": "found", "searched": True}]
    small = {"seeds": 1, "rows": rows, "search": {"trials": 1, "train": 200, "epochs": 1, "n": 20}}
    content = study.parse(CONTENT | {"defences": small, "training": {"epochs": 1}})
    context = Context(content, Run.create(tmp_path / "run", {}), None, "cpu", lambda event: None)
    monkeypatch.setattr(context, "test", Untouchable())
    load = data.load

    def guarded(name, split, *rest):
        assert split != "test"
        return load(name, split, *rest)

    monkeypatch.setattr(data, "load", guarded)
    for name in ("harden", "budget", "search", "harden what was found"):
        stage_of(name).conduct(context)
    assert context.run.has("defences/search")
    assert context.run.has("defences/history/mlp/found-0")
    with pytest.raises(AssertionError, match="a test image was asked for"):
        stage_of("resist").conduct(context)


def stage_of(name):
    """The stage of that name."""
    return next(stage for stage in STAGES if stage.name == name)


class Untouchable:
    """Test images that nobody may ask for."""

    def __getattr__(self, name):
        raise AssertionError("a test image was asked for")


def summary(name, clean, auto, *, believable=True, claimed=None, audited=True):
    """A row as the views give it; its audit, where `believable` says that there was one, saw 60 images."""

    def over(value):
        return Spread(value=value, low=value, high=value, seeds=1)

    audit = {"mask_on": False, "verdict": "", "raised": (), "n": 60}
    return HardenedRow(
        net="mlp",
        row=name,
        defences=(),
        seeds=1,
        n=60,
        eps=0.1,
        training=over(1.0),
        clean=over(clean),
        cpu_seconds=1.0,
        cost=1.0,
        parameters=10,
        size_bytes=40,
        seconds_per_image=1e-4,
        features=64,
        paper=ClaimedRow(training=None, clean=None, robust=claimed, time=None),
        audited=audited,
        plain=name == "baseline",
        held=(Held(name="auto", attack="auto", eps=0.1, mask_on=False, accuracy=over(auto)),),
        against=(),
        certified=None,
        audits=() if believable is None else (RowAudit(believable=believable, **audit),),
        macro=Macro(precision=1.0, recall=1.0, f1=1.0),
        confusion=((60,),),
        history=TrainingHistory(epochs=()),
    )


def test_what_is_not_shown_robust_is_never_recommended():
    plain = summary("baseline", 0.98, 0.5, claimed=0.6)
    said = advice([plain, summary("hidden", 0.98, 0.9, believable=False), summary("honest", 0.98, 0.7)])
    assert "that the audit does not contradict, “honest” holds best under auto: 70.0\u00a0%" in said
    assert "“hidden” measures 90.0\u00a0%, at 98.0\u00a0% clean, but is not shown robust" in said
    said = advice(
        [summary("baseline", 0.98, 0.5, claimed=0.6, believable=False), summary("hidden", 0.98, 0.9, believable=False)]
    )
    assert said.startswith("Recommendation for mlp: none.")
    assert "“hidden” measures 90.0\u00a0%, at 98.0\u00a0% clean, but is not shown robust" in said
    none = {"believable": None, "audited": False}
    said = advice([summary("baseline", 0.98, 0.5, **none), summary("best", 0.98, 0.8, **none)])
    assert "“best” holds best" in said
    assert "No audit was made of it" in said
    said = advice([plain, summary("missed", 0.98, 0.9, believable=None), summary("honest", 0.98, 0.7)])
    assert "“honest” holds best" in said
    assert "It was picked on the test images it is reported on" in said
    assert "“missed” measures 90.0\u00a0%, at 98.0\u00a0% clean, but is not shown robust" in said
    masked = summary("mask", 0.98, 0.6, believable=False, claimed=0.8)
    assert advice([plain, masked]).endswith("changes auto by +10.0 pp. It is not shown robust.")


def test_the_utility_picks_no_ratio_that_is_not_shown_robust(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    doubted = Run.create(tmp_path / "run", run.spec)
    before = {entry.row: entry for entry in of(run).utilities}
    winner = next(name for name, entry in before.items() if entry.best_ensemble)
    loser = next(name for name in before if name != winner)
    for name in (winner, loser):
        place = f"defences/audit/mlp/{slug(name)}"
        said = run.load(place, AuditRecord)
        doubted.path(place).with_suffix(".safetensors").unlink(missing_ok=True)
        doubted.save(place, replace(said, believable=name == loser))
    after = {entry.row: entry for entry in of(doubted).utilities}
    assert after[loser].best_ensemble
    assert not after[winner].best_ensemble
    assert after[winner].shown is False
    doubted.path(f"defences/audit/mlp/{slug(loser)}").unlink()
    missed = {entry.row: entry for entry in of(doubted).utilities}
    assert missed[loser].shown is False
    assert not missed[loser].best_ensemble


def test_a_run_goes_on_where_it_stopped_and_gives_the_same(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    (tmp_path / "run" / "defences" / "rows" / "mlp" / "learned-0.safetensors").unlink()
    (tmp_path / "run" / "defences" / "search.safetensors").unlink()
    again = study.conduct(study.parse(CONTENT), tmp_path / "run", device="cpu")
    before, after = (r.load("defences/rows/mlp/learned-0", HardenedRecord) for r in (run, again))
    assert all(torch.equal(before.held[name], after.held[name]) for name in before.held)
    assert [row.utility for row in of(again).search] == [row.utility for row in of(run).search]


def test_a_network_more_leaves_every_result_as_it_was(run, wider):
    assert wider.complete
    own = [name for name in run.names() if name.startswith("defences/")]
    assert all(wider.path(name).read_bytes() == run.path(name).read_bytes() for name in own)
    assert set(wider.names()) - set(run.names()) == {
        "defences/budget/cnn",
        *(
            f"defences/{kind}/cnn/{slug(row)}-{k}"
            for kind in ("history", "models", "rows")
            for row in TWO
            for k in (0, 1)
        ),
        *(f"defences/audit/cnn/{name}" for name in ("baseline", "random-50--", "random-50---mask-on")),
    }


def test_each_network_has_its_own_eps_images_and_audits(wider):
    found = {item.net: item for item in of(wider).budgets}
    assert found["cnn"].eps != found["mlp"].eps
    assert all(abs(item.accuracy - 0.6) < 0.03 for item in found.values())
    rows = [row for row in of(wider).rows if row.net == "cnn"]
    assert [row.row for row in rows] == list(TWO)
    for row in rows:
        assert (row.n, row.seeds, row.eps) == (20, 2, found["cnn"].eps)
        assert row.audit.n == 60
        assert f"eps={found['cnn'].eps:g}"[:8] in row.audit.verdict
    assert rows[0].cost == pytest.approx(1), "relative to the baseline of the same network"
    assert sum(entry.best_ensemble for entry in of(wider).utilities) == 2, "one for each network"


def test_the_report_tells_two_networks_apart(wider, tmp_path):
    page = report.write(Run.open(wider.folder), tmp_path).read_text()
    assert "attacks on n = 24 (mlp) and 20 (cnn) test images" in page
    assert [item.net for item in of(wider).budgets] == ["mlp", "cnn"], "the study's order"
    for net in ("mlp", "cnn"):
        assert f'<h3 class="part">The {net}</h3>' in page
        assert f"<p>Recommendation for {net}" in page
        assert f"What the audit says of each row: {net}" in page
        for figure in ("masks", "tradeoff", "curves", "scores", "confusion"):
            assert (tmp_path / "figures" / f"defence-{figure}-{net}.svg").is_file()
    assert not (tmp_path / "figures" / "defence-features-cnn.svg").exists(), "no row of it learns a mask"
    names = [line.split(",")[0] for line in (tmp_path / "tables" / "defences.csv").read_text().splitlines()[1:]]
    assert names.count("mlp") == 5
    assert names.count("cnn") == 2


def test_the_report_has_the_tables_and_figures_of_the_paper(run, tmp_path):
    page = report.write(Run.open(run.folder), tmp_path).read_text()
    for words in (
        "Can it resist?",
        "Table I beside ours",
        "Table II beside ours",
        "mask on, naive",
        "Recommendation for mlp",
    ):
        assert words in page
    for figure in ("masks", "tradeoff", "features", "curves", "scores", "confusion"):
        assert (tmp_path / "figures" / f"defence-{figure}-mlp.svg").is_file()
    rows = (tmp_path / "tables" / "defences.csv").read_text().splitlines()
    assert len(rows) == 6
    assert "What the audit says of each row" in page
    assert "random 50 %, mask on at test" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [{"name": "first", "specs": ["dropout"]}]}, "first row must be the baseline"),
        ({"rows": [{"name": "a"}, {"name": "a"}]}, "each row's name once"),
        ({"rows": [{"name": "a"}, {"name": "b", "specs": ["fgsm-rs", "trades"]}]}, "contradict"),
        ({"rows": [{"name": "a"}, {"name": "b", "test": "masked:ratio=0.3"}]}, "fill"),
        ({"nets": ["lenet"]}, "networks must be of"),
        ({"sizes": {"lenet": 50}}, "networks must be of"),
        ({"sizes": {"mlp": 5}}, "sizes.mlp"),
        ({"calibrate": 1.0}, "calibrate"),
        ({"search": None}, r"searched row needs a section \[defences.search\]"),
        ({"rows": [{"name": "a"}, {"name": "b", "searched": True, "specs": ["dropout"]}]}, "takes no specs"),
        ({"rows": [{"name": "a b"}, {"name": "a-b"}]}, "each row's name once"),
        (
            {"rows": [{"name": "a"}, RANDOM, {"name": "random mask on"}]},
            "another name than that of row 'random' with its mask on at test; got random mask on",
        ),
        ({"nets": ["mlp", "mlp"]}, "each network once in nets; got mlp, mlp"),
        (
            {"rows": [{"name": "a"}, {"name": "b", "specs": ["learned-mask"], "test": "masked:ratio=0.3,fill=0"}]},
            r"has a mask at test already \(learned-mask\)",
        ),
    ],
)
def test_sections_that_cannot_be_are_refused(change, message):
    with pytest.raises(BadInput, match=message):
        study.parse(CONTENT | {"defences": CONTENT["defences"] | change})
