"""The door of the packages: what users call by public names is checked before it begins, once.

A package exports its names by `attach`. A function that it exports checks its arguments against its annotations
(`systems.expectations`), a class those of its constructor and of its methods, such as `sample`. Inside of the house
functions are imported from their own files, where they are bare: neither a step nor a force pays. Methods that steps
call are bare, too: those of torch's modules, which all fields and networks are, and of classes marked by `in_steps`.
"""

import functools
import inspect
import numbers
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, cast

import lazy_loader

Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class", bound=type)


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__, __dir__, __all__`` of a package: the names of its stub, imported on first use and `guarded`.

    Example:
        >>> import systems
        >>> systems.simulate(1, 2, 3)
        Traceback (most recent call last):
        ...
        systems.checks.ArgumentTypeError: field: expected a VectorField or a function, got 1
    """
    load, names, exported = lazy_loader.attach_stub(package, file)

    def get(name: str) -> Any:
        value = guarded(load(name), package)
        vars(sys.modules[package])[name] = value
        return value

    return get, names, exported


def guarded(value: Any, package: str) -> Any:
    """A function with its arguments checked; a class as it is, with those of its methods checked."""
    if isinstance(value, FunctionType) and not hasattr(value, "__door__"):
        return _exported(value, package)
    if isinstance(value, type):
        for owner in value.__mro__:
            if owner.__module__.partition(".")[0] in ("systems", "hlieconv"):
                _with_door(owner)
    return value


@functools.cache
def _exported(function: FunctionType, package: str) -> FunctionType:
    door = checked(function)
    # A function is pickled by the name where it is found.
    door.__module__ = package
    return door


def _with_door(owner: type) -> None:
    """Its constructor and methods are checked from now on; the constructor of a NamedTuple takes what it is given."""
    hot = hasattr(owner, "__in_steps__") or any(base.__module__.startswith("torch.") for base in owner.__mro__)
    for name, method in [*vars(owner).items()]:
        function = getattr(method, "__func__", method)
        if not isinstance(function, FunctionType) or hasattr(function, "__door__"):
            continue
        if name == "__init__":
            setattr(owner, name, checked(function, owner))
        elif isinstance(method, classmethod) and name[0] != "_":
            setattr(owner, name, classmethod(checked(function)))
        elif function is method and name[0] != "_" and (not hot or _takes_dataset(function)):
            setattr(owner, name, checked(function))


def _takes_dataset(method: FunctionType) -> bool:
    """Whether it is called for whole trajectories: not in any step."""
    return any("Dataset" in str(hint) for name, hint in method.__annotations__.items() if name != "return")


def in_steps(owner: Class) -> Class:
    """Marks a class whose methods are called once a step, or more often: they stay bare, those of its subclasses too.

    Example:
        >>> @in_steps
        ... class Counter:
        ...     def count(self, number: int) -> None: ...
        >>> guarded(Counter, "counters")().count("one")
    """
    setattr(owner, "__in_steps__", True)  # noqa: B010
    return owner


def checked(function: Function, owner: type | None = None) -> Function:
    """The same function, which refuses arguments that its annotations do not allow; a path may begin with ~.

    Nothing is checked while torch compiles or exports. Values are looked at only where there are any: not under
    `torch.func.vmap`.

    Args:
        function: what is called.
        owner: the class of which it is the constructor.

    Raises:
        ArgumentTypeError: of the result, for what is no number, no text, no Dataset ...
        ValueError: of the result, for NaN, infinity and tensors of a wrong shape.

    Example:
        >>> @checked
        ... def wait(seconds: float) -> None: ...
        >>> wait("long")
        Traceback (most recent call last):
        ...
        systems.checks.ArgumentTypeError: seconds: expected a finite number that is not negative, got 'long'
    """
    expected = functools.cache(lambda: _expectations(function, owner))

    @functools.wraps(function)
    def door(*args: Any, **kwargs: Any) -> Any:
        from torch.compiler import is_compiling

        if not is_compiling():
            expected().verify(args, kwargs)
            args, kwargs = expected().at_home(args, kwargs)
        return function(*args, **kwargs)

    setattr(door, "__door__", True)  # noqa: B010
    return cast(Function, door)


def _expectations(function: Callable[..., Any], owner: type | None) -> Any:
    from systems.expectations import Expectations

    return Expectations(inspect.signature(function), owner or function)


def plain(value: Any) -> Any:
    """The same number, or sequence of numbers, as Python's own: what a loop over an array gives is no JSON value.

    Example:
        >>> import json
        >>> import numpy as np
        >>> json.dumps([plain(np.arange(3)[1]), plain((np.float32(0.5), "SE2", True))])
        '[1, [0.5, "SE2", true]]'
    """
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, tuple):
        return tuple(plain(one) for one in value)
    if isinstance(value, int | float) or not isinstance(value, numbers.Real):
        return value
    return int(value) if isinstance(value, numbers.Integral) else float(value)
