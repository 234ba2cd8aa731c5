"""Frames become observations: the fused kernel, its tables, its blocks, and their files."""
