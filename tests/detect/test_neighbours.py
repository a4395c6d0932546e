"""Deep k-NN against a loop written from the definition; the paper's rule; credibility; what is refused."""

import math

import pytest
import torch
from scipy.stats import betabinom
from torch import nn

from pixelproof import models
from pixelproof.attacks import PGD, mount
from pixelproof.data import Dataset
from pixelproof.detect import (
    DeepNeighbours,
    Store,
    figures,
    load_guard,
    near_duplicates,
    parse,
    save_guard,
    without_duplicates,
)
from pixelproof.detect.neighbours.layers import activations, default_layers
from pixelproof.errors import BadInput, CorruptFile, UnknownName

from .toys import blobs, generator, network


def fitted(k=9, **settings):
    return DeepNeighbours(k=k, **settings).fit(network(), blobs(500), None, generator())


def loop(guard, model, images):
    """Per layer and image: (distance, origin, label) of the nearest stored images, by definition."""
    train = blobs(500)
    rows, logits = activations(model, train.images, guard.store.layers)
    asked, _ = activations(model, images, guard.store.layers)
    where = {int(origin): row for row, origin in enumerate(train.index)}
    kept = [where[int(origin)] for origin in guard.store.origin]
    assert (logits.argmax(1) == train.labels)[kept].all()
    weights = [1 / float(rows[layer][kept].norm(dim=1).mean()) for layer in guard.store.layers]
    spaces = [*((rows[layer], asked[layer]) for layer in guard.store.layers)]
    spaces.append(
        tuple(torch.cat([pair[side] * w for pair, w in zip(spaces, weights, strict=True)], 1) for side in (0, 1))
    )
    answers = []
    for stored, wanted in spaces:
        answers.append([])
        table = stored[kept].double()
        for query in wanted.double():
            distances = (query - table).square().sum(1).sqrt().tolist()
            answers[-1].append(
                sorted((far, row, int(train.labels[row])) for far, row in zip(distances, kept, strict=True))
            )
    return answers


def test_agrees_with_a_loop_in_every_layer_and_composed():
    model, guard, images = network(), fitted(k=(9, 5, 7)), blobs(12, seed=4).images
    verdict, predicted = guard(model, images), model.predict(images).argmax(1)
    assert [neighbours.layer for neighbours in verdict.evidence] == ["1", "3", "composed"]
    for neighbours, answers, k in zip(verdict.evidence, loop(guard, model, images), (9, 5, 7), strict=True):
        for row, answer in enumerate(answers):
            assert neighbours.distance[row].tolist() == pytest.approx([entry[0] for entry in answer[:k]], abs=1e-4)
            assert set(neighbours.index[row].tolist()) == {entry[1] for entry in answer[:k]}
            votes = [sum(entry[2] == label for entry in answer[:k]) for label in range(3)]
            assert neighbours.votes[row].tolist() == votes
            if votes.count(max(votes)) == 1:
                most = votes.index(max(votes))
                assert neighbours.recovered[row] == (-1 if most == predicted[row] else most)
    assert torch.equal(verdict.recovered, verdict.evidence[-1].recovered)


@pytest.mark.parametrize(("rule", "needed"), [("composed", None), ("any", 1), ("majority", 2)])
@pytest.mark.parametrize("threshold", [0, 2, (4, 1, 3)])
def test_the_papers_rule_counts_strangers(rule, needed, threshold):
    """More than `threshold` of the k neighbours belong to a class that was not predicted; two layers and composed."""
    model, images = network(), blobs(150, seed=5, spread=0.25).images
    guard = fitted(threshold=threshold, rule=rule)
    verdict, predicted = guard(model, images), model.predict(images).argmax(1)
    limits = (threshold,) * 3 if isinstance(threshold, int) else threshold
    alarms = [
        (neighbours.labels != predicted[:, None]).sum(1) > limit
        for neighbours, limit in zip(verdict.evidence, limits, strict=True)
    ]
    for neighbours, alarm in zip(verdict.evidence, alarms, strict=True):
        assert torch.equal(neighbours.alarm, alarm)
    expected = alarms[-1] if needed is None else torch.stack(alarms[:-1]).sum(0) >= needed
    assert torch.equal(verdict.alarm, expected)
    assert torch.equal(verdict.alarm, verdict.score > verdict.threshold)
    assert 0 < int(expected.sum()) < len(expected)


@pytest.mark.parametrize("rule", ["composed", "any", "majority", "weighted", "logistic", "credibility"])
def test_every_rule_keeps_its_false_alarm_rate_and_separates(rule):
    model = network()
    adversarial = mount(PGD(eps=0.15), model, blobs(80, seed=8))
    guard = DeepNeighbours(k=9, rule=rule).fit(model, blobs(900, seed=1), adversarial, generator())
    fresh = blobs(500, seed=31)
    verdict = guard(model, fresh.images)
    n = len(guard.calibration.scores)
    beyond = math.floor(0.05 * (n + 1))
    assert int(verdict.alarm.sum()) <= betabinom.ppf(0.999, 500, beyond, n + 1 - beyond)
    late = mount(PGD(eps=0.15), model, blobs(80, seed=9))
    assert float(figures(verdict.score, guard(model, late.images[late.success]).score, resamples=1).auroc) > 0.6


def test_credibility_is_papernot_and_mcdaniels():
    model, guard, images = network(), fitted(), blobs(20, seed=6).images
    found = guard.credibility(model, images)
    votes = [neighbours.votes for neighbours in guard(model, images).evidence[:-1]]
    for row in range(20):
        for label in range(3):
            strange = sum(9 - int(vote[row, label]) for vote in votes)
            above = sum(value >= strange for value in guard.scoring.reference.tolist())
            assert found.p_values[row, label] == pytest.approx((above + 1) / (len(guard.scoring.reference) + 1))
    ordered = found.p_values.sort(1, descending=True).values
    assert torch.equal(found.credibility, ordered[:, 0])
    assert torch.allclose(found.confidence, 1 - ordered[:, 1])


def test_p_values_of_the_true_class_are_valid_on_fresh_images():
    model, fresh = network(), blobs(1000, seed=41)
    guard = DeepNeighbours(k=9).fit(model, blobs(1600, seed=1), None, generator())
    true = guard.credibility(model, fresh.images).p_values[torch.arange(1000), fresh.labels]
    n = len(guard.scoring.reference)
    for level in (0.05, 0.2):
        beyond = math.floor(level * (n + 1))
        assert int((true <= level).sum()) <= betabinom.ppf(0.999, 1000, beyond, n + 1 - beyond)


def test_shuffled_labels_give_chance():
    model, images = network(), blobs(600, seed=51, spread=0.3)
    score = fitted()(model, images.images).score
    order = torch.randperm(600, generator=generator(3))
    found = figures(score[order[:300]], score[order[300:]])
    assert found.auroc.low < 0.5 < found.auroc.high


@pytest.mark.parametrize("rule", ["composed", "any", "majority", "weighted", "credibility"])
@pytest.mark.parametrize("k", [1, 60])
def test_a_guard_that_can_never_alarm_says_so(rule, k):
    """Blobs so wide that more than 2 % of clean images have a stranger as their only neighbour."""
    guard = DeepNeighbours(k=k, rule=rule, rate=0.02).fit(network(), blobs(900, seed=1, spread=0.6), None, generator())
    alarmed = bool(guard(network(), blobs(3000, seed=2, spread=1.5).images).alarm.any())
    assert guard.mute == (not alarmed)
    assert guard.mute == (k == 1)


def test_a_threshold_of_k_can_never_be_passed():
    assert fitted(k=5, threshold=5).mute
    assert not fitted(k=5, threshold=4).mute


def test_the_readme_example():
    from pixelproof import attacks, data

    train, test, rng = data.load("digits"), data.load("digits", "test").sample(60), generator()
    model = models.load("mlp", data=train, training=models.Training(epochs=3, batch=32))
    adv = attacks.mount(PGD(eps=0.2, steps=5), model, test, seed=0)
    guard = DeepNeighbours(k=75).fit(model, train, None, rng)
    assert guard(model, adv.images).alarm.float().mean() > guard(model, test.images).alarm.float().mean()


def test_specs_name_every_setting():
    assert parse("neighbours:k=13|23|12|12,layers=fc1|fc2,metric=chebyshev,threshold=4") == DeepNeighbours(
        k=(13, 23, 12, 12), layers=("fc1", "fc2"), metric="chebyshev", threshold=4
    )


def test_only_correct_training_images_are_neighbours_and_duplicates_can_be_left_out():
    model, clean = network(), blobs(300, seed=2, spread=0.3)
    store = Store.build(model, clean, ["1"])
    correct = model.predict(clean.images).argmax(1) == clean.labels
    assert torch.equal(store.origin, clean.index[correct])
    assert 0 < len(store) < 300
    rows = torch.cat([torch.arange(300), torch.arange(100)])
    twice = Dataset("twice", clean.images[rows], clean.labels[rows], clean.classes)
    for limit, copies in ((None, True), (0.0, False)):
        guard = DeepNeighbours(k=5, duplicates=limit).fit(model, twice, None, generator())
        kept = guard.store.origin % 300
        assert (len(kept.unique()) < len(kept)) == copies


def test_near_duplicates_are_found_listed_and_grouped():
    images = torch.rand((30, 3, 16, 16), generator=generator())
    images[7] = (images[3] + 0.01).clamp(0, 1)
    images[20] = images[7]
    images[25] = images[1]
    found = near_duplicates(Dataset("set", images, torch.arange(30) % 2, ("a", "b")), 0.02)
    assert {tuple(pair) for pair in found.pairs.tolist()} == {(3, 7), (3, 20), (7, 20), (1, 25)}
    assert found.redundant.tolist() == [7, 20, 25]
    assert found.distance.tolist() == sorted(found.distance.tolist())
    assert found.same.tolist() == [(a % 2) == (b % 2) for a, b in found.pairs.tolist()]
    assert len(without_duplicates(Dataset("set", images, torch.arange(30) % 2, ("a", "b")), 0.02)) == 27
    assert len(near_duplicates(Dataset("set", images[:3], torch.arange(3) % 2, ("a", "b"))).pairs) == 0


def test_images_are_added_and_removed_without_a_rebuild():
    model, late = network(), blobs(100, seed=77)
    guard = fitted()
    before = len(guard.store)
    moved = Dataset("blobs", late.images, late.labels, late.classes, index=late.index + 10_000)
    guard.add(model, moved)
    correct = model.predict(late.images).argmax(1) == late.labels
    assert len(guard.store) == before + int(correct.sum())
    nearest = guard(model, late.images[correct]).evidence[-1]
    assert torch.equal(nearest.index[:, 0], moved.index[correct])
    guard.store.remove(moved.index[correct])
    assert int(guard(model, late.images).evidence[-1].index.max()) < 10_000
    with pytest.raises(BadInput, match="1 unknown"):
        guard.store.remove(torch.tensor([55_555]))


@pytest.mark.parametrize("streamed", [False, True])
def test_a_store_is_saved_whole_or_not_read(tmp_path, streamed):
    model, images = network(), blobs(9, seed=3).images
    store = Store.build(model, blobs(300), ["1", "3"], folder=tmp_path / "rows" if streamed else None)
    store.save(tmp_path / "store")
    again = Store.load(tmp_path / "store", model)
    rows = [activations(model, images, [layer])[0][layer] for layer in store.layers]
    for one, other in zip(store.search(rows, 5), again.search(rows, 5), strict=True):
        assert torch.equal(one.ids, other.ids)
    with pytest.raises(BadInput, match="expected the index of the model with digest"):
        Store.load(tmp_path / "store", network(seed=1))
    (tmp_path / "store" / "store.safetensors").unlink()
    with pytest.raises(CorruptFile, match="finished store"):
        Store.load(tmp_path / "store", model)


def test_faiss_gives_the_same_neighbours():
    pytest.importorskip("faiss", reason="needs the faiss extra")
    model, images = network(), blobs(30, seed=3).images
    exact, faiss = fitted()(model, images), fitted(engine="faiss")(model, images)
    for one, other in zip(exact.evidence, faiss.evidence, strict=True):
        assert torch.allclose(one.distance, other.distance, atol=1e-3)
        assert (one.votes == other.votes).float().mean() > 0.97
    with pytest.raises(BadInput, match="Euclidean"):
        fitted(engine="faiss", metric="cosine")


def test_default_layers_are_the_dense_ones_and_what_leads_into_them():
    assert default_layers(models.wrap(_conv(), classes=3, input_shape=(1, 8, 8))) == ("flat", "fc1", "fc2")
    assert default_layers(network()) == ("1", "3")


def test_a_convolution_can_be_pooled():
    model = models.wrap(_conv(), classes=3, input_shape=(1, 8, 8)).eval()
    images = torch.rand((4, 1, 8, 8), generator=generator())
    rows, _ = activations(model, images, ["conv", "conv@mean"])
    assert torch.allclose(rows["conv@mean"], rows["conv"].view(4, 2, 36).mean(2))
    with pytest.raises(BadInput, match="only a convolution"):
        activations(model, images, ["fc1@mean"])


def _conv() -> nn.Module:
    from collections import OrderedDict

    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(1, 2, 3), flat=nn.Flatten(), fc1=nn.Linear(72, 5), fc2=nn.Linear(5, 3))
    )


def test_bad_input_is_named():
    model, clean = network(), blobs(500)
    with pytest.raises(BadInput, match=r"k must be at most 3\d\d, the correctly classified training images; got 400"):
        fitted(k=400)
    with pytest.raises(UnknownName, match="expected a known layer"):
        fitted(layers=("fc9",))
    with pytest.raises(BadInput, match="k must lie in 1"):
        DeepNeighbours(k=0)
    with pytest.raises(BadInput, match="threshold must lie in 0"):
        DeepNeighbours(threshold=-1)
    with pytest.raises(BadInput, match="has no threshold per layer"):
        DeepNeighbours(threshold=3, rule="logistic")
    with pytest.raises(BadInput, match=r"composed layer \(3\); got 2"):
        fitted(k=(3, 4))
    with pytest.raises(BadInput, match="learns from successful adversarial images"):
        fitted(rule="logistic")
    with pytest.raises(BadInput, match="fitted on"):
        fitted()(network(seed=1), clean.images)
    lost = Dataset("lost", clean.images, torch.where(clean.labels == 2, 0, clean.labels), clean.classes)
    with pytest.raises(BadInput, match="no image at all of 'c'"):
        DeepNeighbours(k=5).fit(model, lost, None, generator())


def test_the_nearest_layer_name_is_suggested():
    model = models.wrap(_conv(), classes=3, input_shape=(1, 8, 8)).eval()
    with pytest.raises(UnknownName, match="Did you mean 'conv'"):
        activations(model, torch.rand(2, 1, 8, 8), ["convv"])


def test_activations_that_are_not_finite_name_their_layer():
    model = network()
    with torch.no_grad():
        model.net[1].bias[0] = float("inf")
    with pytest.raises(BadInput, match="layer '1' must be finite"):
        DeepNeighbours(k=5).fit(model, blobs(300), None, generator())


@pytest.mark.parametrize("settings", [{}, {"threshold": 2, "rule": "any"}, {"rule": "credibility", "metric": "cosine"}])
def test_a_saved_guard_says_the_same(tmp_path, settings):
    model, images = network(), blobs(60, seed=3, spread=0.3).images
    guard = fitted(**settings)
    save_guard(guard, tmp_path / "guard")
    one, other = guard(model, images), load_guard(tmp_path / "guard", model)(model, images)
    assert torch.equal(one.score, other.score)
    assert torch.equal(one.alarm, other.alarm)
    assert torch.equal(one.recovered, other.recovered)
    for before, after in zip(one.evidence, other.evidence, strict=True):
        assert torch.equal(before.index, after.index)
        assert torch.equal(before.alarm, after.alarm)
    with pytest.raises(BadInput, match="one built for"):
        load_guard(tmp_path / "guard", network(seed=1))
    (tmp_path / "guard" / "guard.safetensors").unlink()
    with pytest.raises(CorruptFile, match="finished guard"):
        load_guard(tmp_path / "guard", model)
