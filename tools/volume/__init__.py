"""The book in one piece: the built site's pages in their order, as a PDF and as an EPUB.

usage: make pdf, make epub       (after the book was built)
"""
