"""A fuzzer over the public API: every function with odd arguments, and what came of it.

``surface`` walks the names of docs/api/, ``shared`` has small objects and good arguments,
``values`` spoils them, ``trial`` makes a call and judges it. tests/test_fuzz.py makes 5,000
calls, ``python -m validation.truth.fuzz`` as many as one wants.
"""
