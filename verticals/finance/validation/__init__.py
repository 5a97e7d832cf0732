"""Evidence that a credit model is sound: figures with intervals, each under a dated rule. Trains and serves nothing."""
