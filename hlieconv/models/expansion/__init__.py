"""PairExpansion: a potential written as a short sum of known functions, which a person can read.

shapes.py         functions of a distance, each written once for numbers and for symbols
configuration.py  the distances and angles of bodies, and how forces along them add up
terms.py          terms of a potential: features of the bodies times a function of their positions
spline.py         a smooth function of the distance, where no known function will do
polynomial.py     a polynomial of the sides of triangles, where no known function of two arms will do
library.py        the terms that a symmetry allows
law.py            a potential as text, SymPy and LaTeX
model.py          the model
"""
