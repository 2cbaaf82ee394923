"""Sequences: recurrent networks."""
