"""The section [defences] of a study: can it resist? (paper 2)"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from pixelproof import defend, specs
from pixelproof.defend import Defence, Hardening, LearnedMask, Mask
from pixelproof.errors import BadInput
from pixelproof.models import NETS, PREPROCESSORS
from pixelproof.models.preprocessors import Masked
from pixelproof.results import catalogue
from pixelproof.run import slug
from pixelproof.study.section import Budget, Section


class Claimed(Section):
    """What a paper says of a row: accuracies in training, at test and under attack, and the added training time."""

    training: float | None = None
    clean: float | None = None
    robust: float | None = None
    time: float | None = None


class DefenceRow(Section):
    """One row of the table: a name, the defences combined in it, and the mask that is on at test in a second reading.

    `training` replaces settings of the study's training in this row, where equal cost rather than equal epochs is
    the question. `nets` limits the row to some of the section's networks. `searched`: the row's mask, learning rate and
    batch size are those that the search liked best.
    """

    name: str = Field(min_length=1)
    specs: tuple[str, ...] = ()
    test: str = ""
    training: str = ""
    searched: bool = False
    nets: tuple[str, ...] = ()
    paper: Claimed = Claimed()

    @property
    def sides(self) -> tuple[bool, ...]:
        """Whether its mask is on at test, in each reading of the row: off, and on where it has one."""
        return (False, True) if self.test else (False,)

    @field_validator("specs")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            Hardening(defend.parse(value))
        return value

    @field_validator("test")
    @classmethod
    def _preprocessor(cls, value: str) -> str:
        if value:
            specs.parse(value, PREPROCESSORS, "preprocessor")
        return value

    @model_validator(mode="after")
    def _one_mask(self) -> DefenceRow:
        """A mask at test before a network that stands behind one, and a searched row that says what it is."""
        behind = [item.name for item in defend.parse(self.specs) if at_test(item)]
        if self.test and behind:
            raise BadInput("defences", f"row '{self.name}' has a mask at test already ({behind[0]})", self.test)
        if self.searched and (self.specs or self.test or self.training):
            raise BadInput("defences", f"row '{self.name}' is searched and takes no specs, test or training")
        return self


def at_test(defence: Defence) -> bool:
    """Whether a defence leaves a mask before the network."""
    return isinstance(defence, LearnedMask | Masked) or (isinstance(defence, Mask) and defence.when != "train")


class SearchSection(Section):
    """A random search over masks and training settings, on validation images only."""

    trials: int = Field(default=8, ge=1)
    epochs: int = Field(default=2, ge=1)
    train: int = Field(default=20_000, ge=100)
    n: int = Field(default=500, ge=20)


class DefenceSection(Section):
    """Every row trained on every network from `seeds` seeds, then attacked at the eps where FGSM leaves `calibrate`.

    The first row must be the baseline: no defences; eps is found on it by bisection on validation images, once per
    network. `also` are further budgets for PGD and auto. `n` test images (a seeded stratified sample), or those of
    `sizes` for a network that is dear to attack, meet PGD with `steps` steps and auto; `draws` passes stand behind each
    gradient in expectation, `scored` passes judge an image of a random model. `weight` is that of the robust accuracy
    in the utility. `audit`: how many test images each row is audited on (0: none), with its mask on at test, too, where
    it has one.
    """

    nets: tuple[str, ...] = ("mlp",)
    seeds: int = Field(default=3, ge=1)
    calibrate: float = Field(default=0.6, gt=0, lt=1)
    also: tuple[Budget, ...] = ()
    n: int = Field(default=500, ge=20)
    sizes: dict[str, Annotated[int, Field(ge=20)]] = Field(default_factory=dict)
    steps: int = Field(default=40, ge=1)
    draws: int = Field(default=20, ge=1)
    scored: int = Field(default=10, ge=1)
    weight: float = Field(default=0.5, ge=0, le=1)
    audit: int = Field(default=0, ge=0)
    rows: tuple[DefenceRow, ...] = Field(min_length=1)
    search: SearchSection | None = None

    @model_validator(mode="after")
    def _begun(self) -> DefenceSection:
        if self.rows[0].specs or self.rows[0].searched or self.rows[0].nets:
            raise BadInput("defences", "the first row must be the baseline, without defences", self.rows[0].name)
        names = [row.name for row in self.rows]
        if len({slug(name) for name in names}) < len(names):
            raise BadInput("defences", "expected each row's name once", ", ".join(names))
        taken = {catalogue.audits(mask_on=False).name(net="", row=name): name for name in names}
        for row in self.rows:
            other = taken.get(catalogue.audits(mask_on=True).name(net="", row=row.name)) if row.test else None
            if other is not None:
                wanted = f"expected another name than that of row '{row.name}' with its mask on at test"
                raise BadInput("defences", wanted, other)
        if any(row.searched for row in self.rows) and self.search is None:
            raise BadInput("defences", "a searched row needs a section [defences.search]", "none")
        if len(set(self.nets)) < len(self.nets):
            raise BadInput("defences", "expected each network once in nets", ", ".join(self.nets))
        unknown = {*self.nets, *self.sizes, *(net for row in self.rows for net in row.nets)} - set(NETS)
        if unknown:
            raise BadInput("defences", f"networks must be of {', '.join(NETS)}", ", ".join(sorted(unknown)))
        return self

    def size(self, net: str) -> int:
        """How many test images the rows of a network are attacked on."""
        return self.sizes.get(net, self.n)

    def own(self, net: str) -> tuple[DefenceRow, ...]:
        """The rows that a network has, before any search."""
        return tuple(row for row in self.rows if not row.nets or net in row.nets)
