"""Shapes and types of the package, checked on every call while tests run.

What jaxtyping's import hook does with beartype, but arguments once (the hook checks them again beside the result) and
no functions inside functions (the hook decorates them anew at every call), which halves the time of the tests; and a
hint that is none, which the hook passes over, is an error here.
"""

import ast
import dataclasses
import functools
import inspect
import sys
import types
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader

from beartype import BeartypeConf, beartype
from jaxtyping import jaxtyped

PACKAGE = "pixelproof"
NAME = "__check__"  # of the decorator, in the modules
TYPED = beartype(conf=BeartypeConf(violation_type=TypeError))
ONE_CALL = jaxtyped("context")  # inside, an axis name means one size


def install():
    """Check everything of the package that is imported from now on."""
    sys.meta_path.insert(0, Finder())


def check(thing):
    """The function with arguments and result checked, axis names included; the dataclass with its fields checked."""
    if inspect.isclass(thing):
        init = vars(thing).get("__init__")
        if dataclasses.is_dataclass(thing) and init and not hasattr(init, "__wrapped__"):
            thing.__init__ = check(init)
        return thing
    judged = TYPED(resolved(thing))

    @functools.wraps(thing)
    def call(*args, **kwargs):
        with ONE_CALL:
            return judged(*args, **kwargs)

    return call


def resolved(function):
    """A copy with the hints that have a meaning already, which those of a class not made yet have not."""
    code, scope = function.__code__, function.__globals__
    copy = types.FunctionType(code, scope, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__, copy.__qualname__, copy.__module__ = (
        function.__kwdefaults__,
        function.__qualname__,
        function.__module__,
    )
    for name, hint in function.__annotations__.items():
        try:
            copy.__annotations__[name] = eval(hint, scope) if isinstance(hint, str) else hint
        except NameError:
            continue
    return copy


class Decorate(ast.NodeTransformer):
    """Puts the check next to each function, and after whatever makes a class a dataclass."""

    def visit_ClassDef(self, node):
        self.generic_visit(node)
        node.decorator_list.insert(0, ast.Name(NAME, ast.Load()))
        return node

    def visit_FunctionDef(self, node):
        node.decorator_list.append(ast.Name(NAME, ast.Load()))
        return node


class Loader(SourceFileLoader):
    """Without a cache of bytecode: the one on disk belongs to the plain source."""

    def exec_module(self, module):
        path = self.get_filename(module.__name__)
        tree = ast.fix_missing_locations(Decorate().visit(ast.parse(self.get_data(path), path)))
        module.__dict__[NAME] = check
        exec(compile(tree, path, "exec", dont_inherit=True), module.__dict__)


class Finder(MetaPathFinder):
    """Finds the package's modules as usual, and loads them with checks."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != PACKAGE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec
