"""The encoders: one public module per family, found by its file name.

A module's docstring says where its network, its front end and its weights come from, and where it deviates from the
original. What families share lies in ``_networks`` and ``_adapters``, which are private to this package.
"""
