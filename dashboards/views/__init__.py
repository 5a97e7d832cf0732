"""One module for each page; each has a `render`."""
