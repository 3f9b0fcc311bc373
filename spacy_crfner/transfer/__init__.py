"""Transfer: transformers that are trained further on raw text, or from nothing, and cut to what a text needs."""
