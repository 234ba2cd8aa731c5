"""The GPU path: its calls against stand-ins on the processor, and a device where there is one."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

import finufft
import numpy as np
import pytest
from small_crystals import atoms, crystal, places, points, relative

from unstill.errors import MissingExtraError
from unstill.scattering import make_engine
from unstill.scattering.namespace import array_namespace


class DeviceArray(np.ndarray):
    """Stands for a cupy array: computes like numpy, and can be told apart from it."""

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        return sys.modules["cupy"]


def _stand_in_cupy() -> ModuleType:
    """numpy's names; what makes an array makes it "on the device", ``asnumpy`` brings it home."""
    cupy = ModuleType("cupy")
    cupy.__dict__.update({name: getattr(np, name) for name in np.__all__})

    def on_device(make: Any) -> Any:
        return lambda *arguments, **options: make(*arguments, **options).view(DeviceArray)

    for name in ("asarray", "ascontiguousarray", "zeros", "stack"):
        setattr(cupy, name, on_device(getattr(np, name)))
    cupy.asnumpy = lambda array: np.array(array, subok=False)
    return cupy


def _stand_in_cufinufft() -> ModuleType:
    """cufinufft's Plan on the processor; refuses host arrays and the processor's options."""

    class Plan:
        def __init__(
            self, nufft_type, n_modes, n_trans=1, eps=1e-6, isign=None, dtype="complex64"
        ):
            self.plan = finufft.Plan(nufft_type, n_modes, n_trans, eps, isign, dtype, nthreads=1)

        def setpts(self, x, y, z):
            assert all(isinstance(part, DeviceArray) for part in (x, y, z))
            self.plan.setpts(*(np.array(part, subok=False) for part in (x, y, z)))

        def execute(self, data):
            assert isinstance(data, DeviceArray)
            return self.plan.execute(np.array(data, subok=False)).view(DeviceArray)

    module = ModuleType("cufinufft")
    module.Plan = Plan
    return module


@pytest.fixture
def stand_in_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", _stand_in_cupy())
    monkeypatch.setitem(sys.modules, "cufinufft", _stand_in_cufinufft())


@pytest.mark.parametrize("energy", [None, 9_700.0])
@pytest.mark.usefixtures("stand_in_gpu")
def test_the_gpu_path_computes_what_the_processor_does(energy):
    cpu, gpu = (
        make_engine(crystal(), points(), atoms(), device=device, energy=energy, tolerance=1e-7)
        for device in ("cpu", "gpu")
    )
    f = gpu.structure_factors(places())
    assert type(f) is np.ndarray
    assert relative(f, cpu.structure_factors(places())) < 1e-7
    cotangent = np.random.default_rng(1).normal(size=len(f)) * f
    on_gpu, on_cpu = (engine.adjoint(places(), cotangent) for engine in (gpu, cpu))
    for field in ("coord", "occupancy", "b_factor"):
        assert type(getattr(on_gpu, field)) is np.ndarray
        assert relative(getattr(on_gpu, field), getattr(on_cpu, field)) < 1e-7


@pytest.mark.usefixtures("stand_in_gpu")
def test_coordinates_on_the_device_give_results_on_the_device():
    engine = make_engine(crystal(), points(), atoms(), device="gpu")
    assert isinstance(engine.structure_factors(places().view(DeviceArray)), DeviceArray)


def test_without_the_extra_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cufinufft", None)
    with pytest.raises(MissingExtraError, match=r"unstill\[gpu\]"):
        make_engine(crystal(), points(), atoms(), device="gpu")


def test_the_namespace_is_that_of_the_array(monkeypatch):
    assert array_namespace(np.zeros(1)) is np

    class Foreign:
        pass

    Foreign.__module__ = "cupy._core"
    library = ModuleType("cupy")
    monkeypatch.setitem(sys.modules, "cupy", library)
    assert array_namespace(Foreign()) is library


@pytest.mark.gpu
@pytest.mark.skipif(
    importlib.util.find_spec("cufinufft") is None, reason="needs unstill[gpu] and a CUDA device"
)
def test_the_device_computes_what_the_processor_does():
    import cupy

    frac, scatterers = places(), atoms()
    cpu, gpu = (
        make_engine(crystal(), points(), scatterers, device=device) for device in ("cpu", "gpu")
    )
    assert relative(gpu.structure_factors(frac), cpu.structure_factors(frac)) < 1e-4
    on_device = gpu.structure_factors(cupy.asarray(frac))
    assert isinstance(on_device, cupy.ndarray)
    g = np.ones(cpu.n_points, dtype=complex)
    assert relative(gpu.adjoint(frac, g).coord, cpu.adjoint(frac, g).coord) < 1e-4
