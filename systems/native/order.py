"""In which order a processor with few registers computes scalars."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Sequence

from systems.native.scalars import Scalar, needed


def ordered(outputs: Sequence[Scalar], known: Container[int] = ()) -> list[Scalar]:
    """What `needed` finds, so that a value is used soon after it is computed.

    Depth first from output to output; but whatever is the last to use a value is computed as soon as it can be: the
    three components of a force between two bodies follow on each other, and not the first components of all forces.

    Example:
        >>> import numpy as np
        >>> from systems.native.scalars import Arithmetic
        >>> arithmetic = Arithmetic(np.float64)
        >>> a, b = (arithmetic.call("sqrt", arithmetic.input("q", k)) for k in range(2))
        >>> [x.operation for x in ordered([arithmetic.call("sin", a), arithmetic.call("cos", b)])]
        ['input', 'sqrt', 'sin', 'input', 'sqrt', 'cos']
    """
    scalars = needed(outputs, known)
    waiting = {x.index: len({y.index for y in x.inputs if y.index not in known}) for x in scalars}
    left: dict[int, int] = defaultdict(int)
    users: dict[int, list[Scalar]] = defaultdict(list)
    for x in scalars:
        for index in {y.index for y in x.inputs}:
            left[index] += 1
            users[index].append(x)
    for x in outputs:
        left[x.index] += 1  # it is written somewhere
    done: dict[int, Scalar] = {}

    def compute(first: Scalar) -> None:
        queue = [first]
        while queue:
            x = queue.pop()
            if x.index in done:
                continue
            done[x.index] = x
            for index in {y.index for y in x.inputs}:
                left[index] -= 1
            for user in users[x.index]:
                waiting[user.index] -= 1
            # Those of its users, and of its inputs' users, that free a register.
            near = [user for y in (*x.inputs, x) if y.operation not in _FREE for user in users[y.index]]
            queue += [user for user in near if not waiting[user.index] and _frees(user)]

    def _frees(x: Scalar) -> bool:
        return any(left[y.index] == 1 and y.operation not in _FREE and y.index not in known for y in x.inputs)

    for output in outputs:
        stack = [output]
        while stack:
            x = stack[-1]
            missing = [y for y in x.inputs if y.index not in done and y.index not in known]
            if x.index in done or x.index in known:
                stack.pop()
            elif missing:
                stack.append(missing[0])
            else:
                stack.pop()
                compute(x)
    return list(done.values())


#: In memory, or in the instruction.
_FREE = ("input", "constant")
