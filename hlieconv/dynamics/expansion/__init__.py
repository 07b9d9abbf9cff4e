"""Solving for a `PairExpansion`: terms are chosen and their coefficients found by robust least squares.

targets.py     the forces that trajectories imply, with an error known beforehand
noise.py       what was measured, with a standard error of every number
windows.py     forces from noisy trajectories
equations.py   one equation a component of a force: columns of terms, robust solutions, cross-validation
refinement.py  the parameters of shapes, by variable projection
search.py      which terms: the best pair, forward, backward, snapped exponents
splines.py     a smooth function of the distance where no known one explains the forces
polynomials.py  a polynomial of three sides where no known function of three bodies does
forces.py      the force of a law on given bodies, and its derivatives
variation.py   how trajectories depend on their first states and on the law
shooting.py    the coefficients that fit noisy trajectories best
ends.py        the law behind frames far apart
solving.py     solve(model, dataset): all of it, the simplest library first
evidence.py    evidence(model, dataset): does a law hold for other trajectories?
leftover.py    what kind of force a law leaves unexplained
graph.py       interactions(dataset): which pairs of bodies act on each other
bodies.py      what `fit` does with an expansion
"""
