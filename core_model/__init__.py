"""The shared Mixture-of-Experts core: decoder, engine, quantization. Knows no domain, no HTTP, no prompt text."""
