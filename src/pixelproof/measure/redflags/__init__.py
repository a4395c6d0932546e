"""The tests behind the red flags, by the names that `results.RED_FLAGS` gives them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pixelproof.measure.redflags.budget import not_monotone, unbounded
from pixelproof.measure.redflags.follows import not_followed
from pixelproof.measure.redflags.passes import (
    company,
    noisy_surface,
    non_determinism,
    optimises,
    softmax_given,
    weak_dlr,
    zero_gradient,
)
from pixelproof.measure.redflags.planted import planted
from pixelproof.measure.redflags.queries import black_box
from pixelproof.measure.redflags.search import not_converged, silent_success, trained_on_the_attack
from pixelproof.measure.redflags.subject import AuditSubject, Claim, connected
from pixelproof.measure.redflags.versus import (
    noise_beats_gradient,
    one_step_beats_iterative,
    single_step,
    transfer_failure,
)
from pixelproof.results.audit import Finding

LOOKS: Mapping[str, Callable[[AuditSubject], Finding]] = MappingProxyType(
    {
        "non-determinism": non_determinism,
        "softmax given": softmax_given,
        "zero gradient": zero_gradient,
        "black box beats white box": black_box,
        "one step beats iterative": one_step_beats_iterative,
        "single step only": single_step,
        "budget not monotone": not_monotone,
        "unbounded attack fails": unbounded,
        "not converged": not_converged,
        "silent success": silent_success,
        "noisy loss surface": noisy_surface,
        "transfer failure": transfer_failure,
        "optimisation in the forward pass": optimises,
        "noise beats gradient": noise_beats_gradient,
        "weak DLR": weak_dlr,
        "train and test attack identical": trained_on_the_attack,
        "planted images missed": planted,
        "margin off its gradient": not_followed,
        "answers depend on the batch": company,
    }
)

__all__ = ["LOOKS", "AuditSubject", "Claim", "connected"]
