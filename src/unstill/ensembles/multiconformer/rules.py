"""Which states need or exclude each other."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from unstill.errors import InputError

RuleKind = Literal["AND", "OR", "NOT"]


@dataclass(frozen=True)
class Rule:
    """A statement about the copies that are in ``state``.

    ``AND``: they are in all of ``others`` as well; ``OR``: in at least one;
    ``NOT``: in none. Where no rule speaks, states of different positions are
    independent.

    Parameters
    ----------
    id
        1 or above, unique in its model.
    kind
        ``AND``, ``OR`` or ``NOT``.
    state
        Id of the state of which the rule speaks.
    others
        Ids of the states that it names; not empty.
    description
        Free text.
    """

    id: int
    kind: RuleKind
    state: str
    others: tuple[str, ...]
    description: str = ""

    def __post_init__(self) -> None:
        if self.kind not in ("AND", "OR", "NOT"):
            raise InputError(
                "a rule of coexistence is of no known kind",
                found=f"rule {self.id}: {self.kind!r}",
                fix="use AND, OR or NOT",
            )
        if self.id < 1 or not self.others:
            raise InputError(
                "a rule of coexistence has an id of at least 1 and names other states",
                found=f"id {self.id}, states {list(self.others)}",
                fix="number rules from 1, and name at least one state in each",
            )

    def allows(self, present: Collection[str]) -> bool:
        """Whether a copy that is in these states (ids, ancestors included) keeps the rule."""
        if self.state not in present:
            return True
        held = [other in present for other in self.others]
        return {"AND": all(held), "OR": any(held), "NOT": not any(held)}[self.kind]
