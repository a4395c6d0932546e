"""The network, the images and the contenders of benchmarks/attacks.py."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.meters import cpu, optional
from pixelproof import data, models
from pixelproof.attacks import BIM, FGSM, PGD, DeepFool, mount
from pixelproof.data import Dataset
from pixelproof.draws import Draws
from pixelproof.models import Classifier, frozen
from pixelproof.types import Goal

PEER_BATCH = 64
Attack = Callable[[], Tensor]


@dataclass
class Scene:
    """The network, the images, and the bare loop's best batch size and layout."""

    model: Classifier
    images: Dataset
    bare_model: Classifier
    bare_batch: int

    @classmethod
    def of(cls, n: int) -> Scene:
        model = models.load("cnn", data=data.load("mnist"), training=models.Training(), device="cpu")
        test = data.load("mnist", "test")
        correct = test[model.predict(test.images).argmax(1) == test.labels]
        scene = cls(model, correct.sample(n, seed=0), model, 64)
        contiguous = copy.deepcopy(model)
        contiguous.net = contiguous.net.to(memory_format=torch.contiguous_format)
        timed = []
        few = correct.sample(500, seed=1)  # several batches of any size, or large ones look better than they are
        for net in (model, contiguous):
            for batch in (32, 64, 125, 250):
                scene.bare_model, scene.bare_batch = net, batch
                timed.append((min(cpu(lambda: scene.bare(0.1, 2, images=few)) for _ in range(2)), batch, net))
        _, scene.bare_batch, scene.bare_model = min(timed, key=lambda row: row[0])
        return scene

    def bare(
        self, eps: float, steps: int, *, relative: float = 1.0, random: bool = False, images: Dataset | None = None
    ) -> Tensor:
        """FGSM (one step), BIM and PGD without anything that would spare a pass."""
        images, found = self.images if images is None else images, []
        generator = torch.Generator().manual_seed(1)
        with frozen(self.bare_model):
            for part in images.batches(self.bare_batch):
                clean, x = part.images, part.images
                low, high = (clean - eps).clamp(0, 1), (clean + eps).clamp(0, 1)
                if random:
                    x = (x + eps * (2 * torch.rand(x.shape, generator=generator) - 1)).clamp(0, 1)
                for _ in range(steps):
                    x = x.detach().requires_grad_()
                    loss = F.cross_entropy(self.bare_model(x), part.labels, reduction="sum")
                    (gradient,) = torch.autograd.grad(loss, x)
                    x = torch.minimum(torch.maximum(x.detach() + relative * eps * gradient.sign(), low), high)
                found.append(x)
        return torch.cat(found)

    def reference(self, eps: float, steps: int) -> float:
        """Success of BIM written plainly, an image counting as fooled when any iterate fools; not timed.

        The bare loop keeps the last iterate only, and now and then an image that was fooled on the way is not at the
        end. An attack that stops at the first success cannot lose those, so it is compared with this.
        """
        relative = 2.0 / steps if steps > 1 else 1.0
        fooled = torch.zeros(len(self.images), dtype=torch.bool)
        x = self.images.images
        for _ in range(steps):
            gradients = []
            for part in range(0, len(x), PEER_BATCH):
                leaf = x[part : part + PEER_BATCH].clone().requires_grad_()
                loss = F.cross_entropy(self.model(leaf), self.images.labels[part : part + PEER_BATCH], reduction="sum")
                gradients.append(torch.autograd.grad(loss, leaf)[0])
            x = x + relative * eps * torch.cat(gradients).sign()
            x = (self.images.images + (x - self.images.images).clamp(-eps, eps)).clamp(0, 1)
            fooled |= self.model.predict(x).argmax(1) != self.images.labels
        return float(fooled.double().mean())

    def called(self, attack) -> Attack:
        """Our attack called by itself."""
        images, goal = self.images.images, Goal(self.images.labels)

        def run() -> Tensor:
            with frozen(self.model):
                return attack(self.model, images, goal, Draws.keyed(0, self.images.index)).detach()

        return run

    def mounted(self, attack) -> Attack:
        """Our attack through the harness: selection, verification, and judging in float32 and in 8 bits included."""
        return lambda: mount(attack, self.model, self.images).images

    def foolbox(self, name: str, eps: float | None, **settings) -> Attack | None:
        foolbox = optional("foolbox")
        if foolbox is None:
            return None

        def run() -> Tensor:
            wrapped = foolbox.PyTorchModel(self.model, bounds=(0, 1), device="cpu")
            attack = getattr(foolbox.attacks, name)(**settings)
            kind = foolbox.criteria.Misclassification
            parts = self.images.batches(PEER_BATCH)
            found = torch.cat([attack(wrapped, part.images, kind(part.labels), epsilons=eps)[1] for part in parts])
            self.model.zero_grad(set_to_none=True)
            return found

        return run

    def torchattacks(self, name: str, **settings) -> Attack | None:
        torchattacks = optional("torchattacks")
        if torchattacks is None:
            return None

        def run() -> Tensor:
            attack = getattr(torchattacks, name)(self.model, **settings)
            found = torch.cat([attack(part.images, part.labels) for part in self.images.batches(PEER_BATCH)])
            self.model.zero_grad(set_to_none=True)
            return found.detach()

        return run

    def success(self, images: Tensor) -> float:
        return float((self.model.predict(images).argmax(1) != self.images.labels).double().mean())

    def contenders(self, full: bool) -> dict[str, dict[str, Attack | None]]:
        """Per row of the table, who takes part; the first is what the others are divided by."""
        rows: dict[str, dict[str, Attack | None]] = {}
        for eps in (0.1, 0.2):
            rows[f"FGSM eps {eps}"] = {
                "bare loop": lambda eps=eps: self.bare(eps, 1),
                **self._ours(FGSM(eps)),
                "foolbox": self.foolbox("LinfFastGradientAttack", eps),
                "torchattacks": self.torchattacks("FGSM", eps=eps),
            }
            rows[f"BIM-10 eps {eps}"] = {
                "bare loop": lambda eps=eps: self.bare(eps, 10, relative=0.2),
                **self._ours(BIM(eps)),
                "foolbox": self.foolbox(
                    "LinfBasicIterativeAttack", eps, steps=10, rel_stepsize=0.2, random_start=False
                ),
                "torchattacks": self.torchattacks("BIM", eps=eps, alpha=0.2 * eps, steps=10),
            }
            rows[f"PGD-40 eps {eps}"] = {
                "bare loop": lambda eps=eps: self.bare(eps, 40, relative=2.5 / 40, random=True),
                **self._ours(PGD(eps)),
                "ours, float32": self.called(PGD(eps, precision="float32")) if full else None,
                "foolbox": self.foolbox("LinfPGD", eps, steps=40, rel_stepsize=2.5 / 40),
                "torchattacks": self.torchattacks("PGD", eps=eps, alpha=2.5 / 40 * eps, steps=40),
            }
        rows["DeepFool-50 linf"] = {
            "foolbox": self.foolbox("LinfDeepFoolAttack", None, steps=50),
            **self._ours(DeepFool()),
        }
        rows["DeepFool-50 l2"] = {
            "foolbox": self.foolbox("L2DeepFoolAttack", None, steps=50),
            **self._ours(DeepFool(norm="l2")),
            "torchattacks": self.torchattacks("DeepFool", steps=50) if full else None,
        }
        return rows

    def _ours(self, attack) -> dict[str, Attack | None]:
        return {"ours": self.called(attack), "ours, mounted": self.mounted(attack)}
