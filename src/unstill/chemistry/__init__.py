"""What is known of atoms and residues, without any structure at hand.

Radii of atoms (``radii``), names and equivalent atoms of residues
(``residues``), lengths and angles of their bonds. Every table is a file with
its source; nothing here knows coordinates or files of others.
"""
