"""Install every predictor and test it against its real package; ``make test-predictors``.

Environments stand where the variable UNSTILL_PREDICTORS says; those that are there are used.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

from unstill.errors import UnstillError
from unstill.guidance.predictors.cards import Card, list_cards
from unstill.guidance.predictors.environments import install, locate, predictors_folder

HERE = Path(__file__).parent


@dataclass
class Outcome:
    """What became of a predictor."""

    name: str
    install_s: float | None = None
    megabytes: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    test_s: float = 0.0
    peak_gb: float = 0.0
    why_not: str = ""

    @property
    def failed(self) -> bool:
        """Whether it was installed, and something did not work."""
        return not self.why_not and (
            self.counts["failures"] + self.counts["errors"] > 0 or self.counts["passed"] == 0
        )

    def line(self) -> str:
        """One line for people."""
        if self.why_not:
            return f"{self.name:12s} not installed: {self.why_not}"
        how = "there already" if self.install_s is None else f"{self.install_s:.0f} s"
        said = ", ".join(f"{count} {key}" for key, count in self.counts.items() if count)
        return (
            f"{self.name:12s} {said}; installed: {how}, {self.megabytes} MB; "
            f"tests: {self.test_s:.0f} s, at most {self.peak_gb:.1f} GB of memory"
        )


def main(names: list[str]) -> int:
    """Test the named predictors, or all; 1 where a test failed or none could be installed."""
    cards = [card for card in list_cards() if not names or card.name in names]
    if strange := set(names) - {card.name for card in cards}:
        say(f"error: there is no predictor called {', '.join(sorted(strange))}")
        return 2
    say(f"environments in {predictors_folder()}")
    outcomes = []
    for card in cards:
        outcomes.append(tried(card))
        say(outcomes[-1].line())
    say("")
    for one in outcomes:
        say(one.line())
    none = all(one.why_not for one in outcomes)
    return int(none or any(one.failed for one in outcomes))


def tried(card: Card) -> Outcome:
    outcome = Outcome(card.name)
    begun = time.monotonic()
    fresh = locate(card).python is None
    try:
        found = install(card, progress=say)
    except UnstillError as error:
        outcome.why_not = str(error)
        return outcome
    if fresh:
        outcome.install_s = time.monotonic() - begun
    assert found.python is not None
    outcome.megabytes = size(found.folder) >> 20
    report = found.folder / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-n0", f"--junitxml={report}"]
    variable = f"UNSTILL_PREDICTOR_PYTHON_{card.name.upper()}"
    process = subprocess.Popen(
        [*command, str(HERE / f"test_{card.name}_real.py")],
        env=os.environ | {variable: str(found.python)},
    )
    begun = time.monotonic()
    # Unlike subprocess.wait this tells what the process and its children used.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    outcome.test_s = time.monotonic() - begun
    outcome.peak_gb = usage.ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    outcome.counts = counts(report)
    report.unlink(missing_ok=True)
    return outcome


def counts(report: Path) -> dict[str, int]:
    """Numbers of tests by what became of them."""
    if not report.is_file():
        return {"passed": 0, "failures": 0, "errors": 1, "skipped": 0}
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    bad = {key: int(suite.get(key, 0)) for key in ("failures", "errors", "skipped")}
    return {"passed": int(suite.get("tests", 0)) - sum(bad.values()), **bad}


def size(folder: Path) -> int:
    """Bytes below a folder."""
    files = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    return sum(file.lstat().st_size for file in files)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
