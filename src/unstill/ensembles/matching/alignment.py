"""Residues of two chains that stand for each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import biotite.sequence as bseq
import biotite.sequence.align as balign
import numpy as np

from unstill.ensembles.matching.residues import ModelResidue

_SAME, _OTHER, _GAP = 5, -4, (-10, -1)


def align_residues(
    first: Sequence[ModelResidue], second: Sequence[ModelResidue]
) -> list[tuple[ModelResidue, ModelResidue]]:
    """Pair residues of two chains in their order.

    Global alignment with affine gaps (Gotoh, 1982, https://doi.org/10.1016/0022-2836(82)90398-9),
    free at the ends; numbers with one offset are taken instead where they pair as many that are
    alike, for a gap in a repeat has no place of its own in a sequence.
    """
    aligned = _by_sequence(first, second)
    numbered = _by_number(first, second)
    return numbered if _alike(numbered) >= _alike(aligned) else aligned


def _alike(pairs: Sequence[tuple[ModelResidue, ModelResidue]]) -> int:
    return sum(one.letter == other.letter and one.kind == other.kind for one, other in pairs)


def _by_number(
    first: Sequence[ModelResidue], second: Sequence[ModelResidue]
) -> list[tuple[ModelResidue, ModelResidue]]:
    """Pairs whose numbers differ by the offset that pairs most of those that are alike."""
    kinds: dict[str, list[int]] = {}
    for other in second:
        kinds.setdefault(other.kind, []).append(other.res_id)
    offsets = Counter(number - one.res_id for one in first for number in kinds.get(one.kind, ()))
    if not offsets:
        return []
    # Of offsets that do alike, the smallest: numbers as they are.
    offset = min(offsets, key=lambda value: (-offsets[value], abs(value)))
    known = {(other.res_id, other.ins_code): other for other in second}
    pairs = [(one, known.get((one.res_id + offset, one.ins_code))) for one in first]
    return [(one, other) for one, other in pairs if other is not None]


def _by_sequence(
    first: Sequence[ModelResidue], second: Sequence[ModelResidue]
) -> list[tuple[ModelResidue, ModelResidue]]:
    letters = sorted({one.letter for one in (*first, *second)})
    alphabet = bseq.Alphabet(letters)
    score = np.where(np.eye(len(letters), dtype=bool), _SAME, _OTHER).astype(np.int32)
    matrix = balign.SubstitutionMatrix(alphabet, alphabet, score)
    coded = [
        bseq.GeneralSequence(alphabet, [one.letter for one in part]) for part in (first, second)
    ]
    best = balign.align_optimal(
        *coded, matrix, gap_penalty=_GAP, terminal_penalty=False, max_number=1
    )[0]
    return [(first[i], second[j]) for i, j in best.trace.tolist() if i >= 0 and j >= 0]
