"""Making and editing the tree of states: inferred from altlocs, and changed step by step."""
