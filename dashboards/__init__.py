"""Streamlit pages over the HTTP API. No page loads a model."""
