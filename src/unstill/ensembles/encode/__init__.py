"""An ensemble becomes a multiconformer model: states, occupancies, labels."""
