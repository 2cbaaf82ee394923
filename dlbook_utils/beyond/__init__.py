"""Beyond one network and one kind of answer: what it learns with, and from."""
