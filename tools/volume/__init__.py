"""The book in other shapes: the built site's pages as a PDF, as an EPUB, and as slides.

usage: make pdf, make epub, make slides       (after the book was built)
"""
