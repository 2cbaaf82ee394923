"""Transformers: attention, language models, images as sequences."""
