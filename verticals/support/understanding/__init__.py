"""What a customer wants and how they feel, read from one pass of the sentence encoder. Imports nothing."""
