"""Your own network as a Classifier, asked first whether it can be one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pixelproof.data.dataset import check_names, warn_of_twins
from pixelproof.draws import seeded
from pixelproof.errors import BadInput
from pixelproof.models.card import Card
from pixelproof.models.classifier import Classifier, PerChannel, logits_of
from pixelproof.models.identity import fixed_images
from pixelproof.models.modes import evaluating
from pixelproof.types import Images, Logits

PROBE_IMAGES = 8
MANY = 65  # one more than prediction and attacks take at once; asked only of networks for small images
ALONE = 4  # images whose answer alone, and among 65, is compared with that among eight
SMALL = 64 * 64 * 3
APART = 5e-3  # logits of an image alone and among others that lie further apart, in sizes of the logits, differ
APART_HALF = 5e-2  # the same where the network or the processor computes with fewer digits
ONE_ROW = "Return one row of logits per image, also for a single image: squeeze(1) or flatten(1) instead of squeeze()."
SOFTMAX = {"SoftmaxBackward0", "SigmoidBackward0"}
PASSES = 16  # of a random network, alone and together, whose means are compared
CERTAIN = 10  # standard errors by which means lie apart that chance does not explain
PASSED_ON = 4  # casts, views and clones looked through behind an output, for what made it


class LogProbabilities(nn.Module):
    """Turns a network that ends in a softmax into one that gives logits: their logarithm, floored at 1e-12.

    Attacks and attributions need logits. The logarithm of a float32 softmax has lost what saturated, so removing the
    softmax from the network itself is always the better way.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Images) -> Logits:
        """The logarithm of the wrapped network's probabilities."""
        probabilities: Tensor = self.net(images)
        return probabilities.clamp_min(1e-12).log()


def wrap(
    module: nn.Module,
    *,
    classes: int | Sequence[str],
    input_shape: tuple[int, int, int],
    mean: PerChannel = (),
    std: PerChannel = (),
) -> Classifier:
    """Your own network as a Classifier: images in [0, 1] go in, `mean` and `std` are applied inside.

    `classes` are the names in the order of the logits, or their number. The classifier is in the mode its network is
    in. Raises BadInput for class names that occur twice, and for what `probe` refuses; warns of names that look the
    same, and of what `probe` warns of.
    """
    names = tuple(str(k) for k in range(classes)) if isinstance(classes, int) else tuple(map(str, classes))
    name = type(module).__name__.lower()
    card = Card(name=name, classes=names, input_shape=tuple(input_shape))  # type: ignore[arg-type]
    classifier = Classifier(module, card, mean=mean, std=std)
    classifier.named = not isinstance(classes, int)
    warn_of_twins(name, names)
    probe(classifier)
    return classifier


def probe(classifier: Classifier) -> None:
    """Ask a network for the logits of one, eight and, where images are small, 65 random images in [0, 1].

    Raises BadInput when it accepts none of them or not each number of them, or gives what cannot be logits for the
    classes of its card: another shape, NaN, probabilities. A network whose answer to an image depends on the other
    images of the batch is kept, for an audit must be able to judge it, but its card says so and a warning names it.
    """
    card = classifier.card
    check_classes(card)
    numbers = [PROBE_IMAGES, 1]
    channels, height, width = card.input_shape
    if channels * height * width <= SMALL:
        numbers.append(MANY)
    images = fixed_images(card.input_shape, max(numbers)).to(classifier.device)
    first = images[:: len(images) // PROBE_IMAGES][:PROBE_IMAGES]
    logits, one, *more = [_asked(classifier, part) for part in (first, first[:1], images)[: len(numbers)]]
    if not torch.isfinite(logits).all():
        raise BadInput(card.name, "must return finite logits", "NaN or infinity", "Check the weights.")
    if _probabilities(classifier, first, logits):
        raise BadInput(
            card.name,
            "must return logits",
            "what looks like probabilities (a softmax or a sigmoid at the end)",
            "Remove the last softmax or sigmoid, or wrap the network in models.LogProbabilities first.",
        )
    if not card.stochastic and torch.equal(logits, _asked(classifier, first)):
        alone = torch.cat([one, *(_asked(classifier, row) for row in first[1:ALONE, None])])
        many = [row[:: len(images) // PROBE_IMAGES][:ALONE] for row in more]
        apart = _apart(torch.cat([logits[:ALONE]] * (1 + len(many))), torch.cat([alone, *many]))
        if apart <= APART or all(torch.equal(logits, _asked(classifier, first)) for _ in range(PASSES)):
            return _check_alone(classifier, apart)
    moved = [_moved(classifier, part) for part in (first, images)[: len(numbers) - 1]]
    return _check_alone(classifier, max(*moved, _moved_on_average(classifier, first[:2])))


def check_classes(card: Card) -> None:
    """Refuse fewer than two classes, and a name that stands for two of them."""
    names = card.classes
    if len(names) < 2:
        do = "A network with one output z for two classes: return torch.cat([torch.zeros_like(z), z], 1)."
        raise BadInput(card.name, "needs at least two classes", len(names), do)
    check_names(card.name, names)


def _asked(classifier: Classifier, images: Images) -> Logits:
    """What the network puts out for `images`, as a tensor of the right shape."""
    card, n = classifier.card, len(images)
    try:
        with torch.no_grad(), evaluating(classifier):
            output = classifier.net(classifier.own(images))
    except Exception as reason:  # networks of others raise all kinds
        what = (str(reason).strip().splitlines() or [""])[0][:200].rstrip(".")
        got = f"{type(reason).__name__}: {what}" if what else type(reason).__name__
        if n != PROBE_IMAGES:
            expected = f"must accept {n} image{'s' if n > 1 else ''} as well as {PROBE_IMAGES}"
            raise BadInput(card.name, expected, got, "A network must take any number of images at once.") from reason
        do = "Check input_shape, and that it takes floats in [0, 1]."
        raise BadInput(card.name, f"must accept images of shape {card.input_shape}", got, do) from reason
    logits = logits_of(output)
    wanted = (n, len(card.classes))
    if logits is None or not logits.is_floating_point():
        got = type(output).__name__ if logits is None else str(logits.dtype)
        do = "Wrap it in a module whose forward returns the tensor of logits."
        raise BadInput(card.name, f"must return {wanted} logits", got, do)
    if logits.shape != wanted:
        raise BadInput(card.name, f"must return {wanted} logits", tuple(logits.shape), _shape_advice(logits, wanted))
    return logits.detach()


def _shape_advice(logits: Tensor, wanted: tuple[int, int]) -> str:
    n, classes = wanted
    if n == 1 and logits.ndim < 2:
        return ONE_ROW
    if classes == 2 and logits.numel() == n:
        return "One output z for two classes: return torch.cat([torch.zeros_like(z), z], 1) of (n, 1)."
    return "Check classes: their number is that of the network's outputs."


def _probabilities(classifier: Classifier, images: Images, logits: Logits) -> bool:
    """Whether the outputs lie in [0, 1] and either sum to 1 or were made by a sigmoid."""
    if logits.std() == 0 or logits.min() < 0 or logits.max() > 1:
        return False
    if ((logits.float().sum(1) - 1).abs() < APART).all():
        return True
    with torch.enable_grad(), evaluating(classifier):
        try:
            output = logits_of(classifier.net(classifier.own(images).requires_grad_().clone()))
        except RuntimeError:
            return False
    made = output.grad_fn if output is not None else None
    for _ in range(PASSED_ON):
        if made is None:
            return False
        if made.name() in SOFTMAX:
            return True
        made = made.next_functions[0][0] if len(made.next_functions) == 1 else None
    return False


def _apart(some: Tensor, others: Tensor) -> float:
    """The largest difference of two sets of logits, in sizes of the largest of the first."""
    some, others = some.double(), others.double()
    return float((some - others).abs().max() / some.abs().max().clamp_min(1e-12))


def _moved(classifier: Classifier, images: Images) -> float:
    """How far the logits of a random network's first images move, at the same draws, when the other images change.

    0 where the draws cannot be repeated: some are not torch's, or their number depends on the pixels.
    """

    def asked(part: Images) -> tuple[Logits, Tensor]:
        with seeded(0, None):
            return _asked(classifier, part), torch.get_rng_state()

    (logits, drawn), (again, _) = asked(images), asked(images)
    others, drawn_there = asked(torch.cat([images[:ALONE], 1 - images[ALONE:]]))
    if not torch.equal(logits, again) or not torch.equal(drawn, drawn_there):
        return 0.0
    return _apart(logits[:ALONE], others[:ALONE])


def _moved_on_average(classifier: Classifier, pair: Images) -> float:
    """How far the mean logits of each of two images lie apart alone and together; 0 where chance may explain it."""
    with seeded(0, None):
        together = torch.stack([_asked(classifier, pair) for _ in range(PASSES)]).double()
        alone = torch.stack(
            [torch.cat([_asked(classifier, image) for image in pair[:, None]]) for _ in range(PASSES)]
        ).double()
    error = ((together.var(0) + alone.var(0)) / PASSES).sqrt()
    certain = (together.mean(0) - alone.mean(0)).abs() > CERTAIN * error
    return _apart(together.mean(0)[certain], alone.mean(0)[certain]) if certain.any() else 0.0


def _check_alone(classifier: Classifier, apart: float) -> None:
    """Note on the card, and warn, when an image gets another answer alone than among others."""
    half = classifier.device.type == "cuda" or bool(
        {parameter.dtype for parameter in classifier.parameters()} & {torch.float16, torch.bfloat16}
    )
    if not apart > (APART_HALF if half else APART):
        return
    classifier.carrying(batch_dependent=True)
    warnings.warn(
        f"{classifier.card.name}: an image's logits depend on the other images of its batch (alone they differ by "
        f"{100 * apart:.2g} %); accuracies and attacks then depend on the batch size. Check for batch "
        "statistics in evaluation mode.",
        stacklevel=4,
    )
