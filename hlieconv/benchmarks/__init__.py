"""Tasks on which others publish: data of our own generators, floors, rivals on the same data, and what was reached.

`hlieconv reproduce NAME` runs one of `registry.BENCHMARKS`; docs/benchmarks.md shows the tables.
"""
