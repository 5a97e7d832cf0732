"""The shared Mixture-of-Experts core: decoder, engine, quantization. Knows no domain and serves no HTTP."""
