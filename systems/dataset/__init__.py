"""Datasets of trajectories: what they hold, and the one door by which numbers enter and leave.

schema.py     what a Dataset holds; from tensors to it and back
measured.py   Datasets from arrays and tables of measurements
storage.py    files that are whole or absent, written in parts
"""
