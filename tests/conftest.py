"""What all tests share: hypothesis draws the same examples in every run, and its patience does not depend on the machine's load."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("sipreg", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("sipreg")
