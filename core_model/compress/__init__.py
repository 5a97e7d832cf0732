"""How few-bit codes are found: rounding, GPTQ, AWQ, plans of bits, and the report that judges them."""
