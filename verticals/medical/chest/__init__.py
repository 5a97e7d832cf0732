"""The chest film: which findings it shows, where, and how sure that is. Weights and their card lie beside the code."""
