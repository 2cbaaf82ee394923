"""What authors and CI run: the book, the notebooks, the checks."""
