"""The dynamics study: models of springs (and of what is harder), their errors, what they conserve and what they cost.

catalogue.py   the systems, the models, and the trials of each budget
evaluation.py  what is measured of a trained model
trials.py      one trial: data, training, measurement, one result file
workers.py     any number of processes work through a list of trials, and survive each other's death
published.py   numbers of other work, each with its source
tables.py      tables from result files, and the figures that the results have to reach
figures.py     figures from result files
"""
