"""Files of several formats to Markdown, one reader a format. Ignores what becomes of the text."""
