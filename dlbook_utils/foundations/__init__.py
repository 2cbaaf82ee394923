"""Foundations: from one neuron to networks that train."""
