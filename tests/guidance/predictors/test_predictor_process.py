"""Speaking with a predictor in a process of its own; what happens when it fails."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from unstill.errors import InputError, MissingExtraError, UnstillError
from unstill.guidance.predictors import Molecule, PredictorProcess
from unstill.guidance.predictors.failures import (
    MissingWeightsError,
    PredictorDiedError,
    PredictorError,
    PredictorMemoryError,
    PredictorProtocolError,
    PredictorTimeoutError,
)

HERE = Path(__file__).parent
PEPTIDE = Molecule("protein", "GGS", ("A", "B"))
X = np.zeros((2, 24, 3))


def start(fault: str | None = None, *, timeout: float = 30.0, **options: str) -> PredictorProcess:
    worker = "linear_worker.py" if fault is None else "faulty_worker.py"
    options |= {} if fault is None else {"fault": fault}
    return PredictorProcess(
        "fake", Path(sys.executable), HERE / worker, options=options, timeout=timeout, threads=1
    )


def gone(pid: int) -> bool:
    """Whether there is no such process, not even a zombie."""
    return not Path(f"/proc/{pid}").exists()


def children() -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                after = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(after[1]) == os.getpid():
                    found.add(int(entry.name))
    return found


def test_hello_atoms_and_report_say_who_answers_and_what_it_uses() -> None:
    with start(device="cpu") as process:
        assert (process.hello.name, process.hello.version) == ("linear", "1.0")
        assert process.hello.sigma_data == 16.0
        assert process.hello.python == sys.version.split()[0]
        atoms = process.featurise([PEPTIDE, Molecule("ccd", "GOL", ("L",))])
        assert atoms.array_length() == 24 + 12
        assert atoms.chain_id[[0, 12, 24]].tolist() == ["A", "B", "L"]
        assert atoms.res_id[:12:4].tolist() == [1, 2, 3]
        assert atoms.atom_name[:4].tolist() == ["N", "CA", "C", "O"]
        assert atoms.hetero.tolist() == [False] * 24 + [True] * 12
        report = process.report()
        assert report.device == "cpu"
        assert 5e6 < report.memory < 2e9
        pid = process.pid
        assert pid is not None
    assert gone(pid)


def test_single_and_double_precision_go_through_and_come_back_double() -> None:
    rng = np.random.default_rng(3)
    x = 10 * rng.standard_normal((5, 24, 3))
    with start() as process:
        process.featurise([PEPTIDE])
        double = process.denoise(x, 2.0)
        single = process.denoise(x.astype(np.float32), 2.0)
    assert double.dtype == single.dtype == np.float64
    np.testing.assert_allclose(single, double, atol=1e-5)


def test_arrays_larger_than_a_pipe_go_both_ways() -> None:
    with start() as process:
        process.featurise([PEPTIDE])
        assert process.denoise(np.zeros((20_000, 24, 3)), 2.0).shape == (20_000, 24, 3)


def test_what_the_predictor_prints_stays_out_of_the_channel_and_of_our_output(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with start() as process:
        process.featurise([PEPTIDE])
        process.denoise(X, 1.0)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


FAULTS = [
    ("exit", PredictorDiedError, "exit code 3; its last lines:\n"),
    ("segfault", PredictorDiedError, "signal 11 (SIGSEGV)"),
    ("oom killer", PredictorDiedError, "memory"),
    ("memory", PredictorMemoryError, "9 GB"),
    ("cuda memory", PredictorMemoryError, "CUDA"),
    ("bug", PredictorError, "KeyError: 'z_trunk'"),
    ("hang", PredictorTimeoutError, "1 s"),
    ("closed", PredictorProtocolError, "closed pipe"),
    ("garbage", PredictorProtocolError, "b'Epoc'"),
    ("shape", PredictorProtocolError, "(2, 23, 3)"),
    ("text", PredictorError, "AttributeError"),
    ("nan", PredictorProtocolError, "not finite; found 1 of 144"),
]


@pytest.mark.parametrize(("fault", "kind", "text"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_fault_at_work_is_told_in_three_parts_and_leaves_no_process(
    fault: str, kind: type[UnstillError], text: str
) -> None:
    before = children()
    with start(fault) as process:
        process.featurise([PEPTIDE])
        process.denoise(X, 1.0)
        pid = process.pid
        assert pid is not None
        if fault == "hang":
            process._timeout = 1.0
        with pytest.raises(kind) as caught:
            process.denoise(X, 1.0)
        assert text in str(caught.value)
        assert caught.value.what
        assert caught.value.found
        assert caught.value.fix
        # Whoever can still be spoken to lives on.
        lives_on = fault in ("memory", "cuda memory", "bug", "text", "shape", "nan")
        assert (process.pid is not None) == lives_on
    assert gone(pid)
    assert children() <= before


def test_the_last_words_are_in_the_message() -> None:
    with start("exit") as process:
        process.featurise([PEPTIDE])
        process.denoise(X, 1.0)
        with pytest.raises(PredictorDiedError, match="last words"):
            process.denoise(X, 1.0)


STARTS = [
    ("weights", MissingWeightsError, "/no/such/weights.ckpt"),
    ("import", MissingExtraError, "no_such_predictor"),
    ("version", PredictorProtocolError, "version 7, spoken is 1"),
    ("slow start", PredictorTimeoutError, "1 s"),
]


@pytest.mark.parametrize(("fault", "kind", "text"), STARTS, ids=[row[0] for row in STARTS])
def test_a_fault_at_the_start_is_told_and_leaves_no_process(
    fault: str, kind: type[UnstillError], text: str
) -> None:
    before = children()
    with pytest.raises(kind) as caught:
        start(fault, timeout=1.0 if fault == "slow start" else 30.0)
    assert text in str(caught.value)
    assert caught.value.fix
    assert children() <= before


def test_a_worker_refuses_to_be_asked_in_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unstill.guidance.predictors.wire.PROTOCOL", 2)
    with pytest.raises(PredictorProtocolError, match="asked in version 2, spoken is 1"):
        start()


def test_a_python_that_is_not_there_is_told() -> None:
    with pytest.raises(PredictorDiedError, match="predictor install fake"):
        PredictorProcess("fake", HERE / "no-python", HERE / "linear_worker.py")


def test_a_program_that_is_no_worker_is_told() -> None:
    with pytest.raises(PredictorDiedError, match="FileNotFoundError"):
        PredictorProcess("fake", Path(sys.executable), HERE / "no_worker.py", timeout=20)


@pytest.mark.parametrize("fault", ["sequence", "same atoms"])
def test_what_cannot_be_featurised_is_told(fault: str) -> None:
    kind = InputError if fault == "sequence" else PredictorProtocolError
    with start(fault) as process, pytest.raises(kind) as caught:
        process.featurise([PEPTIDE])
    assert "position 3" in str(caught.value) or "of one name" in str(caught.value)


def test_a_restart_brings_a_dead_process_back_to_where_it_was(tmp_path: Path) -> None:
    with start("exit", flag=str(tmp_path / "failed-once")) as process:
        atoms = process.featurise([PEPTIDE])
        expected = process.denoise(X, 1.0)
        with pytest.raises(PredictorDiedError):
            process.denoise(X, 1.0)
        with pytest.raises(PredictorDiedError, match="call restart"):
            process.denoise(X, 1.0)
        process.restart()
        np.testing.assert_array_equal(process.denoise(X, 1.0), expected)
        assert process.atoms is atoms


def test_a_restart_that_finds_other_atoms_is_refused(tmp_path: Path) -> None:
    with start("fickle", flag=str(tmp_path / "failed-once")) as process:
        assert process.featurise([PEPTIDE]).array_length() == 23
        with pytest.raises(PredictorProtocolError, match="24 for 23"):
            process.restart()


def test_our_own_mistakes_are_told_before_anything_is_sent() -> None:
    with start() as process:
        with pytest.raises(InputError, match="featurise first"):
            process.denoise(X, 1.0)
        with pytest.raises(InputError, match="names of their own"):
            process.featurise([PEPTIDE, PEPTIDE])
        process.featurise([PEPTIDE])
        with pytest.raises(InputError, match=r"shape \(2, 23, 3\)"):
            process.denoise(X[:, 1:], 1.0)
        with pytest.raises(InputError, match="finite: False"):
            process.denoise(X * np.nan, 1.0)
        with pytest.raises(InputError, match="positive"):
            process.denoise(X, 0.0)


@pytest.mark.parametrize(
    ("kind", "sequence", "chains"),
    [
        ("peptide", "GG", ("A",)),
        ("protein", "G-G", ("A",)),
        ("protein", "GG", ()),
        ("ccd", "", "L"),
    ],
)
def test_molecules_that_make_no_sense_are_refused(
    kind: str, sequence: str, chains: tuple[str, ...]
) -> None:
    with pytest.raises(InputError):
        Molecule(kind, sequence, tuple(chains))


def test_an_alignment_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="alignment"):
        Molecule("protein", "GG", ("A",), tmp_path / "no.a3m")


OWNER = """
import sys, time
from pathlib import Path
import numpy as np
from unstill.guidance.predictors import Molecule, PredictorProcess
options = {"fault": "hang"}
process = PredictorProcess(
    "fake", Path(sys.executable), Path(sys.argv[1]), options=options, threads=1
)
x = np.zeros((1, 4, 3))
if sys.argv[2] == "amid a computation":
    process.featurise([Molecule("protein", "G", ("A",))])
    process.denoise(x, 1.0)
print(process.pid, flush=True)
if sys.argv[2] == "amid a computation":
    process.denoise(x, 1.0)
time.sleep(60)
"""


@pytest.mark.parametrize("when", ["between two answers", "amid a computation"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_worker_ends_with_its_owner(number: int, when: str) -> None:
    command = [sys.executable, "-c", OWNER, str(HERE / "faulty_worker.py"), when]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
        assert owner.stdout is not None
        worker = int(owner.stdout.readline())
        owner.send_signal(number)
        owner.wait(10)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        state = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":
            # Its new parent has not looked yet.
            break
        time.sleep(0.05)
    else:
        assert gone(worker)


def test_ctrl_c_while_it_computes_ends_the_process() -> None:
    with start("hang") as process:
        process.featurise([PEPTIDE])
        process.denoise(X, 1.0)
        pid = process.pid
        assert pid is not None
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            process.denoise(X, 1.0)
        assert process.pid is None
        assert gone(pid)
