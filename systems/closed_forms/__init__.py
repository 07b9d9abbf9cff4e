"""Exact solutions: the flow of a system in closed form.

normal_modes.py   springs without rest length, which are linear
modes.py          their frequencies and shapes; graded_modes.py where these span many orders of magnitude
compiled_modes.py the modes found and added up in machine code (jacobi.c, mode_sums.c)
mode_tables.py    added up by torch, and mode_gradients.py the derivatives
chebyshev.py      springs of many bodies, without their modes
waves.py          cosines and sines of frequencies that may be imaginary, and their differences
kepler.py         two bodies that attract each other by gravity
"""
