"""Makers of records: ``tools/records/NAME.py`` makes ``records/NAME.jsonl``."""
