"""The MoE scorer: a mixture of experts gives each bin of each field its effect, and compiles to a table."""
