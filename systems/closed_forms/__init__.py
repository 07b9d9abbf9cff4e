"""Exact solutions: the flow of a system in closed form.

normal_modes.py   springs without rest length, which are linear
kepler.py         two bodies that attract each other by gravity
"""
