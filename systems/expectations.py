"""What the annotations of a function allow: in words, and as a check of what came."""

import collections.abc
import contextlib
import dataclasses
import functools
import inspect
import math
import numbers
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union

import numpy as np
import torch
from jaxtyping import AbstractArray, jaxtyped
from torch import Tensor

from systems.checks import ANY, ArgumentTypeError
from systems.files import at_home
from systems.tracing import readable

Refuse = Callable[[Any], type[Exception] | None]
"""The error that a value is, None if it is allowed."""


class Expectation(NamedTuple):
    """What an annotation allows."""

    words: str
    refuse: Refuse
    detail: Callable[[Any], str] = lambda value: ""
    """Of a value that is refused: more words, such as the field that is wrong."""


class Limits(NamedTuple):
    """Which numbers mean something."""

    finite: bool = True
    """NaN and infinity are refused."""
    least: float = -math.inf
    """Of a number by itself; those in sequences, tables and tensors may have any sign."""


#: What users may call the step of an integrator, which is an argument of the integrator itself.
STEPS = ("step", "step_size", "timestep", "dt")

#: What a calculation found may be infinite or negative.
ANY_NUMBER = Limits(finite=False)


class Expectations:
    """What a function takes, by the names of its arguments.

    Args:
        signature: of the function.
        source: the function, or the class whose constructor it is.
    """

    def __init__(self, signature: inspect.Signature, source: Any) -> None:
        parameters = signature.parameters.values()
        self.hints = hints_of(source)
        # Most dataclasses hold what was found; the others look at their numbers themselves.
        self.is_record = dataclasses.is_dataclass(source)
        self.default = {one.name: one.default for one in parameters if isinstance(one.default, int | float)}
        self.positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.paths = {name for name, hint in self.hints.items() if "Path" in str(hint)}
        self.rest = next((one.name for one in parameters if one.kind is one.VAR_POSITIONAL), "")
        any_name = any(one.kind is one.VAR_KEYWORD for one in parameters)
        no_step = "integrator" in signature.parameters and not any_name
        self.misplaced = {name for name in STEPS if no_step and name not in signature.parameters}
        self.owner = source.__name__

    @functools.cache  # noqa: B019
    def of(self, name: str, masked: bool) -> Expectation:
        """What an argument may be. NaN may fill what a mask leaves out."""
        default = self.default.get(name, 0)
        if self.is_record:
            limits = ANY_NUMBER
        else:
            limits = Limits(finite=not masked and math.isfinite(default), least=0 if default >= 0 else -math.inf)
        return expectation(self.hints[name], limits) if name in self.hints else ANYTHING

    def verify(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """What is missing or unknown is left to Python, which names it, but for the step of an integrator.

        Raises:
            ArgumentTypeError: for a wrong type, and for a step where an integrator is asked for.
            ValueError: for a wrong shape, NaN and infinity.
        """
        for name in self.misplaced & {*kwargs}:
            words = f"expected a step as part of an integrator, as in integrator=Leapfrog(step={shown(kwargs[name])})"
            raise ArgumentTypeError(f"{name}: {words} of systems.integrators, got it as an argument of {self.owner}")
        named = [*zip(self.positional, args, strict=False), *kwargs.items()]
        named += [(self.rest, value) for value in args[len(self.positional) :]]
        masked = any(name == "mask" and value is not None for name, value in named)
        with jaxtyped("context"):  # the letters of shapes mean the same in all arguments
            for name, value in named:
                words, refuse, detail = self.of(name, masked)
                if (error := refuse(value)) is not None:
                    words += detail(value) + _beside(value, refuse, named)
                    raise error(f"{name}: expected {words}, got {shown(value)}")

    def at_home(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The same arguments, with the user's folder in place of the ~ that a path begins with."""
        if not self.paths:
            return args, kwargs
        names = (*self.positional[: len(args)], *[self.rest] * (len(args) - len(self.positional)))
        found = [at_home(x) if name in self.paths else x for name, x in zip(names, args, strict=True)]
        return tuple(found), {name: at_home(x) if name in self.paths else x for name, x in kwargs.items()}


def _beside(value: Any, refuse: Refuse, named: list[tuple[str, Any]]) -> str:
    """Where a tensor is refused for the shapes of others: their names."""
    with jaxtyped("context"):
        if not isinstance(value, Tensor) or refuse(value) is not None:
            return ""
    return f", by the sizes of {', '.join(name for name, x in named if isinstance(x, Tensor) and x is not value)}"


def hints_of(source: Any) -> dict[str, Any]:
    """The annotations of the arguments of a function, or of the constructor that a class defines.

    Example:
        >>> def f(x: int | None = None) -> None: ...
        >>> hints_of(f)["x"]
        int | None
    """
    if dataclasses.is_dataclass(source):
        # Its constructor repeats the annotations of its fields as they are written, those of other files too.
        return typing.get_type_hints(source, include_extras=True)
    function = inspect.unwrap(vars(source)["__init__"] if isinstance(source, type) else source)
    arguments = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
    names = vars(sys.modules[function.__module__])
    return typing.get_type_hints(types.SimpleNamespace(__annotations__=arguments), names, include_extras=True)


def expectation(hint: Any, limits: Limits = Limits()) -> Expectation:  # noqa: B008
    """What an annotation allows. An annotation of no known kind allows anything.

    Args:
        hint: the annotation.
        limits: of its numbers.

    Example:
        >>> from collections.abc import Sequence
        >>> expectation(Sequence[int] | None).words
        'a sequence (each item a whole number) or None'
        >>> expectation(float).refuse(3), expectation(float).refuse("3"), expectation(float).refuse(math.nan)
        (None, <class 'systems.checks.ArgumentTypeError'>, <class 'ValueError'>)
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in (None, type(None)):
        return _instance("None", type(None))
    if origin in (Union, types.UnionType):
        return _union(inner, limits)
    limits = limits if origin is None else limits._replace(least=-math.inf)
    if origin is Annotated:
        return expectation(inner[0], ANY_NUMBER if ANY in inner else limits)
    if origin is Literal:
        return _choice(inner)
    if origin is type:
        return _class(inner[0])
    if origin is tuple:
        return _tuple(inner, limits)
    if origin is collections.abc.Callable:
        return _simple("a function", callable)
    if isinstance(origin, type) and issubclass(origin, collections.abc.Mapping):
        return _mapping(origin, *inner, limits=limits)
    if isinstance(origin, type) and issubclass(origin, collections.abc.Iterable) and len(inner) == 1:
        return _items(origin, inner[0], limits)
    if isinstance(hint, TypeVar) and hint.__bound__ is not None:
        return expectation(hint.__bound__, limits)
    if isinstance(origin or hint, type) and hint not in (Any, object):
        return _of_class(origin or hint, limits)
    return ANYTHING


ANYTHING = Expectation("anything", lambda value: None)

#: What people call these classes.
WORDS = {str: "text", bool: "True or False", torch.dtype: "a dtype of torch", np.ndarray: "an array"}


def _of_class(kind: Any, limits: Limits) -> Expectation:
    if issubclass(kind, AbstractArray):
        return _tensor_of_shape(kind, limits)
    if issubclass(kind, Tensor):
        return Expectation("a tensor of finite numbers" if limits.finite else "a tensor", _numbers_in(kind, limits))
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _named_tuple(kind)
    if kind is int:
        return _number("a whole number", numbers.Integral, limits)
    if kind is float:
        return _number("a finite number" if limits.finite else "a number", numbers.Real, limits)
    if kind is bool:
        return _simple("True or False", _is_bool)
    words = WORDS.get(kind, _with_article(kind.__name__.removeprefix("Abstract")))
    return _instance(words, kind)


def _with_article(name: str) -> str:
    spelt = name[:2].isupper()  # as letters: an HLieConv
    return f"a{'n' if name[0] in ('AEIOUH' if spelt else 'AEIO') else ''} {name}"


def _simple(words: str, allowed: Callable[[Any], bool]) -> Expectation:
    return Expectation(words, lambda value: None if allowed(value) else ArgumentTypeError)


def _instance(words: str, kind: type) -> Expectation:
    return _simple(words, lambda value: isinstance(value, kind))


def _number(words: str, kind: type, limits: Limits) -> Expectation:
    def refuse(value: Any) -> type[Exception] | None:
        if not isinstance(value, numbers.Real) or _is_bool(value):
            return ArgumentTypeError
        if value < limits.least or (limits.finite and not math.isfinite(value)):
            return ValueError
        return None if isinstance(value, kind) else ArgumentTypeError

    return Expectation(words if limits.least < 0 else f"{words} that is not negative", refuse)


def _union(hints: tuple[Any, ...], limits: Limits) -> Expectation:
    options = [expectation(hint, limits) for hint in hints]
    if ANYTHING in options:
        return ANYTHING
    if torch.device in hints:
        options = [_device(), *(one for one, hint in zip(options, hints, strict=True) if hint is type(None))]

    def refuse(value: Any) -> type[Exception] | None:
        errors = [one.refuse(value) for one in options]
        return None if None in errors else next((one for one in errors if one is ValueError), errors[0])

    return Expectation(" or ".join(dict.fromkeys(one.words for one in options)), refuse)


def _device() -> Expectation:
    def refuse(value: Any) -> type[Exception] | None:
        if not isinstance(value, str | torch.device):
            return ArgumentTypeError
        with contextlib.suppress(RuntimeError):
            torch.device(value)
            return None
        return ValueError

    return Expectation("a device such as cpu or cuda:0", refuse)


def _choice(choices: tuple[Any, ...]) -> Expectation:
    def refuse(value: Any) -> type[Exception] | None:
        if not isinstance(value, tuple({type(one) for one in choices})):
            return ArgumentTypeError
        return None if value in choices else ValueError

    return Expectation(f"one of {', '.join(map(str, choices))}", refuse)


def _class(hint: Any) -> Expectation:
    kind = hint if isinstance(hint, type) else object
    return _simple(f"a subclass of {kind.__name__}", lambda value: isinstance(value, type) and issubclass(value, kind))


def _tuple(hints: tuple[Any, ...], limits: Limits) -> Expectation:
    if hints[-1] is Ellipsis:
        return _items(tuple, hints[0], limits)
    options = [expectation(hint, limits) for hint in hints]

    def refuse(value: Any) -> type[Exception] | None:
        if not isinstance(value, tuple):
            return ArgumentTypeError
        if len(value) != len(options):
            return ValueError
        return next(filter(None, (one.refuse(item) for one, item in zip(options, value, strict=True))), None)

    return Expectation(f"({', '.join(one.words for one in options)})", refuse)


def _items(kind: type, hint: Any, limits: Limits) -> Expectation:
    """What can be looked through twice is looked through; text is no sequence of texts."""
    item, kinds = expectation(hint, limits), (kind, np.ndarray) if kind is collections.abc.Sequence else (kind,)

    def refuse(value: Any) -> type[Exception] | None:
        if not isinstance(value, kinds) or isinstance(value, str | bytes):
            return ArgumentTypeError
        if isinstance(value, np.ndarray) and value.ndim == 0:
            return ValueError
        looked_at = item is not ANYTHING and isinstance(value, collections.abc.Collection)
        return next(filter(None, map(item.refuse, value)), None) if looked_at else None

    name = f"a {kind.__name__.lower()}"
    return Expectation(name if item is ANYTHING else f"{name} (each item {item.words})", refuse)


def _mapping(kind: type, key: Any, value: Any, *, limits: Limits) -> Expectation:
    keys, values = expectation(key, limits), expectation(value, limits)

    def refuse(given: Any) -> type[Exception] | None:
        if not isinstance(given, kind):
            return ArgumentTypeError
        errors = (error for name, one in given.items() for error in (keys.refuse(name), values.refuse(one)))
        return next(filter(None, errors), None)

    return Expectation(f"a mapping from {keys.words} to {values.words}", refuse)


def _named_tuple(kind: Any) -> Expectation:
    """Its fields agree in shape with one another. NaN marks what is not there."""
    fields = [expectation(hint, ANY_NUMBER) for hint in typing.get_type_hints(kind).values()]

    def refused(value: Any) -> tuple[str, type[Exception]] | None:
        """Of the first field that is refused: what it may be, and the error."""
        with jaxtyped("context"):
            for name, one, x in zip(kind._fields, fields, value, strict=True):
                if (error := one.refuse(x)) is not None:
                    return f"{name} is {one.words}", error
        return None

    def refuse(value: Any) -> type[Exception] | None:
        if not isinstance(value, kind):
            return ArgumentTypeError
        found = refused(value)
        return None if found is None else found[1]

    def beside(value: Any) -> str:
        found = refused(value) if isinstance(value, kind) else None
        return "" if found is None else f" whose {found[0]}"

    return Expectation(_with_article(kind.__name__), refuse, beside)


def _tensor_of_shape(kind: Any, limits: Limits) -> Expectation:
    numbers_in = _numbers_in(kind.array_type, limits if "float64" in kind.dtypes else ANY_NUMBER)

    def refuse(value: Any) -> type[Exception] | None:
        if not isinstance(value, kind.array_type) or str(value.dtype).removeprefix("torch.") not in kind.dtypes:
            return ArgumentTypeError
        return numbers_in(value) if isinstance(value, kind) else ValueError

    words = f"a tensor of shape ({', '.join(kind.dim_str.split())}) and of dtype {kind.dtype.__name__.lower()}"
    return Expectation(words, refuse)


def _numbers_in(kind: type, limits: Limits) -> Refuse:
    def refuse(value: Any) -> type[Exception] | None:
        if not isinstance(value, kind) or (limits.finite and value.is_complex()):
            return ArgumentTypeError
        if not limits.finite:
            return None
        good = value.numel() and not (readable(value, wait=True) and not torch.isfinite(value).all())
        return None if good else ValueError

    return refuse


def _is_bool(value: object) -> bool:
    return isinstance(value, bool | np.bool_)


def shown(value: Any) -> str:
    """What came, in few words.

    Example:
        >>> shown(torch.ones(2, 3)), shown(dict), shown(3.5)
        ('a tensor of float32 of shape (2, 3)', 'the class dict', '3.5')
    """
    if isinstance(value, Tensor):
        bad = "" if not readable(value, wait=True) or torch.isfinite(value).all() else " with NaN or infinity"
        return f"a tensor of {str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}{bad}"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return f"{type(value).__name__}({', '.join(map(shown, value))})"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, str | int | float | complex | bytes | list | tuple | set | dict | None):
        return reprlib.repr(value)
    return f"an object of type {type(value).__name__}"
