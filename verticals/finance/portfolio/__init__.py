"""What was decided over time and how it turned out. Imports nothing."""
