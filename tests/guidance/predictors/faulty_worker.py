"""A predictor that fails as it is told by the option ``fault``, at the second denoising.

With the option ``flag``, the path of a file, it fails only while that file does not exist, and
makes it: the second process is sound.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

_spec = importlib.util.spec_from_file_location(
    "linear_worker", Path(__file__).with_name("linear_worker.py")
)
linear = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(linear)


class FaultError(Exception):
    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


class Worker(linear.Worker):
    name = "faulty"

    def __init__(self, options):
        super().__init__(options)
        self._fault, self._flag = options["fault"], options.get("flag")
        self._calls = 0
        if self._fault == "weights":
            raise FaultError("missing_weights", "/no/such/weights.ckpt")
        if self._fault == "import":
            import no_such_predictor  # noqa: F401
        if self._fault == "version":
            self._speak_another_version()
        if self._fault == "slow start":
            time.sleep(60)

    def featurise(self, molecules, seed):
        if self._fault == "sequence":
            raise FaultError("bad_input", "residue 'B' at position 3")
        rows = super().featurise(molecules, seed)
        if self._fault == "same atoms":
            rows[1] = rows[0]
        if self._fault == "fickle" and self._due():
            rows = rows[:-1]
        return rows

    def denoise(self, x, sigma, keep):
        clean = super().denoise(x, sigma, keep)
        self._calls += 1
        if self._calls < 2 or not self._due():
            return clean
        return self._fail(clean)

    def _due(self):
        if self._flag is None:
            return True
        if Path(self._flag).exists():
            return False
        Path(self._flag).touch()
        return True

    def _fail(self, clean):
        if self._fault in ENDS:
            ENDS[self._fault]()
        if self._fault in RAISES:
            raise RAISES[self._fault]
        if self._fault == "shape":
            return clean[:, :-1]
        if self._fault == "text":
            return "coordinates"
        if self._fault == "nan":
            clean[0, 0, 0] = np.nan
        return clean

    def _speak_another_version(self):
        wire = sys.modules["unstill_wire"]
        encode = wire.encode
        wire.encode = lambda header, arrays=None: encode(header | {"protocol": 7}, arrays)


def exit_after_last_words():
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    os._exit(3)


def hang_with_a_child():
    subprocess.Popen(["sleep", "300"])
    time.sleep(300)


def close_the_channel():
    os.close(channel())
    time.sleep(300)


def write_garbage():
    os.write(channel(), b"Epoch 1: 100%|#####| loss=0.1\n" * 100)


def channel():
    """The pipe that no predictor knows of: the last one that is open for writing."""
    for number in sorted((int(entry.name) for entry in OPEN.iterdir()), reverse=True):
        try:
            if number > 2 and str((OPEN / str(number)).readlink()).startswith("pipe:"):
                os.write(number, b"")
                return number
        except OSError:
            continue
    raise AssertionError("no pipe")


OPEN = Path("/proc/self/fd")
ENDS = {
    "exit": exit_after_last_words,
    "segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "oom killer": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": hang_with_a_child,
    "closed": close_the_channel,
    "garbage": write_garbage,
}
RAISES = {
    "memory": MemoryError("9 GB"),
    "cuda memory": RuntimeError("CUDA out of memory. Tried to allocate 9 GB"),
    "bug": KeyError("z_trunk"),
}
