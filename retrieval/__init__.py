"""Hybrid retrieval over a tenant's documents: SQL is the truth, FAISS and BM25 are rebuildable snapshots."""
