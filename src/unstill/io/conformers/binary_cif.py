"""Multiconformer models from BinaryCIF: decoded into tokens, then read as mmCIF is."""

from __future__ import annotations

import io
from pathlib import Path

import gemmi
import numpy as np

from unstill.ensembles import Multiconformer
from unstill.io.conformers.carried_cif import carried_from_parts, category_reader
from unstill.io.conformers.cif_parts import CifParts
from unstill.io.conformers.mmcif import model_of_carried
from unstill.io.conformers.token_columns import quoted
from unstill.io.reading import parsing, unpacked


def read_bcif_conformers(path: Path) -> Multiconformer:
    """Read a BinaryCIF file (``.gz`` allowed) as ``read_mmcif_conformers`` reads text.

    Every data block and category is kept in ``carried``, as text.

    Raises
    ------
    FormatError
        If the file is damaged, cut short or holds no atoms.
    InputError
        If an atom stands twice in one place, or the hierarchy makes no tree.
    """
    path = Path(path)
    with parsing(path, "a BinaryCIF file"):
        carried, block = carried_from_parts(bcif_parts(path), path.name)
        return model_of_carried(carried, category_reader(block), path)


def bcif_parts(path: Path) -> CifParts:
    """Return a BinaryCIF file as the text that says the same."""
    import biotite
    import msgpack

    try:
        document = _document(unpacked(path))
    except (
        biotite.DeserializationError,
        biotite.InvalidFileError,
        msgpack.exceptions.UnpackException,
    ) as error:
        # Neither derives from what parsers usually raise.
        raise ValueError(str(error)) from error
    return CifParts(document.as_string(), (), "utf-8")


def _document(content: bytes) -> gemmi.cif.Document:
    from biotite.structure.io import pdbx

    source = pdbx.BinaryCIFFile.read(io.BytesIO(content))
    document = gemmi.cif.Document()
    for block_name, block in source.items():
        # Blocks of BinaryCIF may have names with blanks; those of text may not.
        out = document.add_new_block("_".join(block_name.split()) or "model")
        for name, category in block.items():
            columns = {item: _tokens(column) for item, column in category.items()}
            if not columns:
                continue
            if category.row_count == 1:
                for item, tokens in columns.items():
                    out.set_pair(f"_{name}.{item}", tokens[0])
            else:
                out.init_loop(f"_{name}.", list(columns)).set_all_values(list(columns.values()))
    return document


def _tokens(column: object) -> list[str]:
    """Tokens of a column: numbers as shortest text, text quoted where it must be."""
    values = column.data.array  # type: ignore[attr-defined]
    mask = column.mask  # type: ignore[attr-defined]
    if values.dtype.kind in "US":
        words, codes = np.unique(values, return_inverse=True)
        texts = np.array([quoted(str(word)) if word else "''" for word in words], dtype=object)
        tokens = list(texts[codes.reshape(-1)].tolist())
    else:
        # Single-precision numbers are printed with the digits that they have.
        tokens = (
            [str(value) for value in values]
            if values.dtype == np.float32
            else [repr(value) for value in values.tolist()]
        )
    if mask is None:
        return tokens
    return [
        token if kind == 0 else "." if kind == 1 else "?"
        for token, kind in zip(tokens, mask.array.tolist(), strict=True)
    ]
