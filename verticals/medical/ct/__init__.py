"""Chest CT: lungs, nodule candidates, their measurements, and the guidelines as calculators.

Research software, not a medical device. The packaged model learned from synthetic phantoms alone.
"""
