"""A potential as text, SymPy and LaTeX."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hlieconv.models.expansion.polynomial import Polynomial
from hlieconv.models.expansion.shapes import SHAPES
from hlieconv.models.expansion.spline import Spline
from hlieconv.models.expansion.terms import Anisotropic, Central, Factor, Monomial, Term, Triple
from systems.units import parsed

#: Letters for features; others are written by their names.
LETTERS = {"mass": "m", "stiffness": "k", "spring_constant": "k", "rest_length": "l", "charge": "c"}

#: A number is written with at most so many digits.
DIGITS = 10

#: Of one function of the positions more terms than this are written as one, with an unknown function of the features.
MANY = 12


class Estimate(NamedTuple):
    """A term of a law, and how sure it is."""

    term: Term
    coefficient: float
    error: float = 0.0
    """Standard error of the coefficient."""
    parameter_errors: tuple[float, ...] = ()
    """Standard errors of the parameters of the shape, 0 for those that are given."""


def concise(value: float, error: float, digits: int = DIGITS) -> str:
    """A number with its standard error in units of its last digit.

    Example:
        >>> concise(1.00002, 0.0001), concise(-2.0, 1e-15), concise(1234.5, 20.0)
        ('1.0000(1)', '-2', '1230(20)')
    """
    if not (math.isfinite(error) and error > 0 and abs(value) > 0):
        return f"{value:.{digits}g}"
    places = -math.floor(math.log10(error))
    if places + math.floor(math.log10(abs(value))) + 1 > digits:
        return f"{value:.{digits}g}"
    if round(error * 10**places) >= 10:
        places -= 1
    if places > 0:
        return f"{value:.{places}f}({round(error * 10**places)})"
    return f"{round(value, places):.0f}({round(error, places):.0f})"


def expression(term: Term) -> Any:
    """What is summed, as a SymPy expression of r, x, y, z and the features.

    Example:
        >>> from hlieconv.models.expansion.terms import Pair
        >>> expression(Pair("power", (2.0,), (False,), (Factor("stiffness"), Factor("stiffness"))))
        k_i*k_j*r_ij**2
    """
    import sympy

    numbers = [_number(x) for x in term.parameters]
    if isinstance(term, Triple):
        centre, arm = term.bodies
        return _factor(centre, "i") * _factor(arm, "j") * _factor(arm, "k") * _of_triple(term, numbers)
    if isinstance(term, Monomial):
        coordinates = [sympy.Symbol(f"{axis}_i") for axis in _axes(len(numbers))]
        return _product(term.bodies, "i") * math.prod(x**p for x, p in zip(coordinates, numbers, strict=True))
    if isinstance(term, Central):
        return _product(term.bodies, "i") * SHAPES[term.shape].value(
            sympy, sympy.Symbol("r_i", positive=True), *numbers
        )
    if isinstance(term, Anisotropic):
        names = _axes(3)
        function = math.prod(sympy.Symbol(f"{names[int(axis)]}_ij") for axis in term.parameters)
    elif isinstance(term, Spline):
        function = sympy.Function("s")(sympy.Symbol("r_ij", positive=True))
    else:
        function = SHAPES[term.shape].value(sympy, sympy.Symbol("r_ij", positive=True), *numbers)
    a, b = (*term.bodies, Factor(""), Factor(""))[:2]
    weight = _factor(a, "i") * _factor(b, "j")
    if a != b:
        weight = (weight + _factor(b, "i") * _factor(a, "j")) / 2
    return weight * _product(term.pairs, "ij") * function


def _of_triple(term: Triple, numbers: Sequence[Any]) -> Any:
    """The function of the sides, and of the product d_ijk of both arms."""
    import sympy

    a, b, c, dot = sympy.symbols("r_ij r_ik r_jk d_ijk", positive=True)
    if isinstance(term, Polynomial):
        return sympy.Function("P")(a, b, c)
    m, length = numbers
    shape = {
        "cosine": lambda r: (r**2 + length**2) ** (-m / sympy.Integer(2)),
        "bell": lambda r: sympy.exp(-(r**2) / length**2),
    }[term.shape]
    return dot**m * shape(a) * shape(b)


def gathered(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Estimates of which no two are of one term: coefficients are added, standard errors too, as of independent ones.

    Example:
        >>> from hlieconv.models.expansion.terms import Pair
        >>> square = Pair("power", (2.0,), (False,))
        >>> text(gathered([Estimate(square, 1.0), Estimate(square, 0.02, 0.001)]))
        'V = 1.020(1) r_ij^2'
    """
    found: dict[Any, Estimate] = {}
    for x in estimates:
        unnamed = isinstance(x.term, Spline | Polynomial)
        key = x.term.over, repr(x.term.function) if unnamed else "", expression(x.term)
        same = found.get(key, x._replace(coefficient=0.0, error=0.0))
        coefficient, error = same.coefficient + x.coefficient, math.hypot(same.error, x.error)
        found[key] = same._replace(coefficient=coefficient, error=error)
    return list(found.values())


def text(estimates: Sequence[Estimate]) -> str:
    """The potential in one line, the terms in the order given.

    Sums run over bodies i, over pairs i < j, and over triples of a centre i and j < k. A polynomial of many terms in
    features is written as an unknown function of these, w(k_i, k_j).
    """
    line = ""
    for estimate, function in _parts(estimates):
        sign = ("-" if estimate.coefficient < 0 else "") if not line else (" - " if estimate.coefficient < 0 else " + ")
        line += sign + function
    return f"V = {line or '0'}"


def _parts(estimates: Sequence[Estimate]) -> Iterator[tuple[Estimate, str]]:
    """Terms and how they are written, but for the sign; those of a polynomial in features are one."""
    alike: dict[Any, list[Estimate]] = {}
    for estimate in estimates:
        alike.setdefault((estimate.term.over, estimate.term.function), []).append(estimate)
    for own in alike.values():
        if len(own) > MANY:
            function = own[0].term.function
            features = dict.fromkeys(factor.feature for x in own for factor in x.term.bodies)
            letters = ", ".join(f"{LETTERS.get(name, name)}_{index}" for name in features for index in "ij")
            yield Estimate(function, 1.0), f"w({letters}) {_plain(expression(function))}"
    for x in estimates:
        if len(alike[x.term.over, x.term.function]) <= MANY:
            function = _plain(expression(x.term))
            number = concise(abs(x.coefficient), x.error)
            yield x, number + (function[1:] if function.startswith("1/") else f" {function}")


def unit(term: Term, units: Mapping[str, str]) -> Any:
    """The unit of a term's coefficient, as pint's: an energy, divided by those of the features and lengths.

    Args:
        term: of a potential.
        units: of q, p, mass and the features by name, as a Dataset has them; none are none.

    Raises:
        ValueError: for units that pint does not know.

    Example:
        >>> from hlieconv.models.expansion.terms import Pair
        >>> newton = Pair("power", (-1.0,), (False,), (Factor("mass"), Factor("mass")))
        >>> f"{unit(newton, {'q': 'AU', 'p': 'Msun AU / yr', 'mass': 'Msun'}):~}"
        'au ** 3 / Msun / a ** 2'
    """

    def of(name: str) -> Any:
        return parsed(name, units.get(name) or "1")

    found = of("p") ** 2 / of("mass") / of("q") ** term.degree
    for factor in (*term.bodies, *term.pairs, *(term.bodies[1:] if isinstance(term, Triple) else ())):
        if factor.feature:
            found = found / of(factor.feature) ** factor.exponent
    return found


def summands(estimates: Sequence[Estimate], units: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What is summed over bodies "i", over pairs "i < j" and over triples "i, j < k": SymPy expressions.

    Args:
        estimates: the terms.
        units: if given (see `unit`), coefficients carry them, as symbols.
    """
    import sympy

    found: dict[str, Any] = {}
    for estimate in estimates:
        part = sympy.Float(estimate.coefficient, 17) * expression(estimate.term)
        if units is not None:
            for name, power in unit(estimate.term, units)._units.items():
                part = part * sympy.Symbol(f"{parsed(name, name):~}", positive=True) ** sympy.nsimplify(power)
        found[estimate.term.over] = found.get(estimate.term.over, 0) + part
    return found


def latex(estimates: Sequence[Estimate], units: Mapping[str, str] | None = None) -> str:
    """The potential as LaTeX, without the dollar signs; coefficients with units if these are given (see `unit`)."""
    import sympy

    def written(estimate: Estimate) -> str:
        number = f"{estimate.coefficient:.6g}\\, "
        if units is not None and not (own := unit(estimate.term, units)).dimensionless:
            number += f"{own:~L}\\, "
        return number + sympy.latex(_rounded(expression(estimate.term)))

    sums = {"i": r"\sum_{i}", "i < j": r"\sum_{i<j}", "i, j < k": r"\sum_{i} \sum_{j<k}"}
    parts = []
    for over in sums:
        own = [estimate for estimate in estimates if estimate.term.over == over]
        if own:
            body = " + ".join(map(written, own))
            parts.append(f"{sums[over]} \\left( {body.replace('+ -', '- ')} \\right)")
    return "V = " + (" + ".join(parts) or "0")


def _plain(value: Any) -> str:
    """A SymPy expression as people type it."""
    import sympy

    return sympy.sstr(_rounded(value), full_prec=False).replace("**", "^").replace("*", " ")


def _rounded(value: Any) -> Any:
    import sympy

    return value.xreplace({x: sympy.Float(float(x), 6) for x in value.atoms(sympy.Float)})


def _number(x: float) -> Any:
    """Halves exactly, the rest as it is."""
    import sympy

    return sympy.Rational(round(2 * x), 2) if float(2 * x).is_integer() else sympy.Float(x, 17)


def _axes(d: int) -> list[str]:
    return list("xyz"[:d]) if d <= 3 else [f"x{k}" for k in range(d)]


def _factor(factor: Factor, index: str) -> Any:
    import sympy

    if not factor.feature:
        return sympy.Integer(1)
    name = LETTERS.get(factor.feature, factor.feature)
    return sympy.Symbol(f"{name}_{index}", positive=True) ** _number(factor.exponent)


def _product(factors: Sequence[Factor], index: str) -> Any:
    import sympy

    return sympy.Mul(*(_factor(factor, index) for factor in factors))
