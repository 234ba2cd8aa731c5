"""Multiconformer models in files: every altloc, every category, and the hierarchy of states.

``read_multiconformer`` and ``write_multiconformer`` choose the format; one
file here is one format, or one group of categories of mmCIF.
"""
