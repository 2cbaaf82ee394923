"""A study: what its chapter builds; the engine that ran it is ``dlbook_utils.runner``."""
