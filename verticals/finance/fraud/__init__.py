"""Card fraud: features of a transaction's past, a model, and the queue of cases that people decide."""
