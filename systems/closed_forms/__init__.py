"""Exact solutions: the flow of a system in closed form.

normal_modes.py   springs without rest length, which are linear
compiled_modes.py the same in machine code (jacobi.c, mode_sums.c)
kepler.py         two bodies that attract each other by gravity
"""
