"""What history, text and identity document add to the score: three bounded terms of a customer, cached.

Read it in this order: `names.py`, `inputs.py` (what a source says, as numbers), `model.py` (the terms), `fit.py` and
`training.py` (how they are learned), `tables.py` and `store.py` (what is kept), `reading.py` (what a score reads).
"""
