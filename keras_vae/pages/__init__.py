"""HTML pages: the report of a model, and the demo of a bundle."""
