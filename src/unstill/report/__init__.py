"""Results made visible: figures and self-contained HTML reports.

Method rooms return dataclasses; this room draws them. One design for every
page: quiet, dense, light and dark, nothing loaded from the network, and each
figure says in one line what good and bad look like.
"""
