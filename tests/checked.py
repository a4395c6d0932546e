"""Shapes and types checked on every call, for a part of what jaxtyping's own decorator costs.

jaxtyping writes two checkers for every function at import, binds each call to the signature, and checks the arguments
before the call and again after it, so that its message can say which of them was wrong. Here beartype's one checker
runs inside jaxtyping's context, and is written at the first call. What is checked is the same: every argument and every
result, the sizes of named axes held together over one call.
"""

import dataclasses
import functools
import inspect
import types
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import AbstractArray, TypeCheckError
from jaxtyping._storage import pop_shape_memo, push_shape_memo

whole = jaxtyping.jaxtyped


def install() -> None:
    """Check the package; to be called before its first import."""
    jaxtyping.jaxtyped = lambda *, typechecker: checked  # what the import hook puts on every function and class
    jaxtyping.install_import_hook("pixelproof", "beartype.beartype")


def checked(thing):
    """A function that checks its arguments and its result; a dataclass that checks its fields."""
    if inspect.isclass(thing):
        if dataclasses.is_dataclass(thing) and not hasattr(thing.__init__, "checks"):
            thing.__init__ = _function(thing.__init__)
        return thing
    return _function(thing)


def _function(function):
    if inspect.isgeneratorfunction(function):
        return whole(typechecker=beartype)(function)
    if not function.__annotations__:
        return function
    checker = arrays = None

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        nonlocal checker, arrays
        if jaxtyping.config.jaxtyping_disable:  # by a test that calls as users do
            return function(*args, **kwargs)
        if checker is None:
            checker, arrays = _checker(function)
        try:
            if not arrays:
                return checker(*args, **kwargs)
            push_shape_memo({})
            try:
                return checker(*args, **kwargs)
            finally:
                pop_shape_memo()
        except BeartypeCallHintViolation as violation:
            raise TypeCheckError(str(violation)) from violation

    wrapped.checks = True
    return wrapped


def _checker(function):
    """The function behind beartype's checks, and whether arrays are among them.

    A function inside another is made anew at every call of it; its checks are written once for all of them.
    """
    if "<locals>" not in function.__qualname__:
        return _written(function)
    if function.__code__ not in _inner:
        _inner[function.__code__] = _written(function)
    checker, arrays = _inner[function.__code__]
    if "__beartype_func" not in (checker.__kwdefaults__ or {}):  # nothing to check
        return function, False
    again = types.FunctionType(checker.__code__, checker.__globals__, checker.__name__)
    again.__kwdefaults__ = checker.__kwdefaults__ | {"__beartype_func": function}
    return again, arrays


_inner: dict[types.CodeType, tuple] = {}


def _written(function):
    hints = {name: _hint(annotation, function) for name, annotation in function.__annotations__.items()}
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__, copy.__qualname__, copy.__module__ = (
        function.__kwdefaults__,
        function.__qualname__,
        function.__module__,
    )
    copy.__annotations__ = hints
    return beartype(copy), any(map(_of_array, hints.values()))


def _hint(annotation, function) -> Any:
    """What an annotation names; anything, where it names what the module does not know while it runs."""
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return get_type_hints(holder, function.__globals__, include_extras=True)["it"]
    except Exception:
        return Any


def _of_array(hint) -> bool:
    if isinstance(hint, list):
        return any(map(_of_array, hint))
    return (inspect.isclass(hint) and issubclass(hint, AbstractArray)) or any(map(_of_array, get_args(hint)))
