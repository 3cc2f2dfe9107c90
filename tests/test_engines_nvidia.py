import ctypes
from typing import Any

import pytest

from engines import nvidia
from engines.errors import EngineUnavailable


class Driver:
    """libcuda and libnvidia-ml as far as they are called, for a machine without them; codes as in cuda.h."""

    def __init__(self, init: int = 0, devices: int = 1, clock: int = 0) -> None:
        self._init, self._devices, self._clock = init, devices, clock
        self.shut = 0

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self._init

    def cuDeviceGet(self, device: Any, ordinal: int) -> int:  # noqa: N802
        return 0 if ordinal < self._devices else 101

    def cuDeviceGetName(self, name: Any, length: int, device: Any) -> int:  # noqa: N802
        name.value = b"NVIDIA GeForce RTX 3090"
        return 0

    def cuDeviceGetAttribute(self, value: Any, which: int, device: Any) -> int:  # noqa: N802
        value._obj.value = {75: 8, 76: 6}[which]
        return 0

    def cuDeviceGetPCIBusId(self, bus: Any, length: int, device: Any) -> int:  # noqa: N802
        bus.value = b"0000:65:00.0"
        return 0

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0

    def nvmlSystemGetDriverVersion(self, version: Any, length: int) -> int:  # noqa: N802
        version.value = b"580.65.06"
        return 0

    def nvmlDeviceGetHandleByPciBusId_v2(self, bus: Any, handle: Any) -> int:  # noqa: N802
        handle._obj.value = {b"0000:65:00.0": 4711}[bus.value]
        return 0

    def nvmlDeviceGetClockInfo(self, handle: Any, which: int, mhz: Any) -> int:  # noqa: N802
        assert (handle.value, which) == (4711, 1)
        mhz._obj.value = 210
        return self._clock

    def nvmlDeviceGetMaxClockInfo(self, handle: Any, which: int, mhz: Any) -> int:  # noqa: N802
        mhz._obj.value = 2100
        return 0

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.shut += 1
        return 0


def test_a_gpu_is_known_by_name_capability_and_driver() -> None:
    assert nvidia.gpu(lambda _: Driver()) == nvidia.Gpu("NVIDIA GeForce RTX 3090", "8.6", "580.65.06")
    assert nvidia.absent(lambda _: Driver()) is None


def test_its_clock_is_told_now_and_at_most() -> None:
    assert nvidia.clocks_mhz(lambda _: Driver()) == (210, 2100)


def test_a_clock_that_the_driver_keeps_to_itself_is_one_line_and_leaves_nothing_open() -> None:
    driver = Driver(clock=3)  # NVML_ERROR_NOT_SUPPORTED
    with pytest.raises(EngineUnavailable, match="nvmlDeviceGetClockInfo of its driver answered 3"):
        nvidia.clocks_mhz(lambda _: driver)
    assert driver.shut == 1


@pytest.mark.parametrize(
    ("driver", "words"),
    [(Driver(init=100), "cuInit of its driver answered 100"), (Driver(devices=0), "cuDeviceGet .* answered 101")],
)
def test_a_driver_that_refuses_is_one_line(driver: Driver, words: str) -> None:
    with pytest.raises(EngineUnavailable, match=rf"^no NVIDIA GPU can be used: .*{words}") as refusal:
        nvidia.gpu(lambda _: driver)
    assert "\n" not in str(refusal.value)


def test_no_driver_is_one_line() -> None:
    def none(name: str) -> ctypes.CDLL:
        return ctypes.CDLL(f"no_such_folder/{name}")

    assert nvidia.absent(none) == "no NVIDIA GPU here: its driver's libcuda.so.1 is not found"


def test_a_container_with_half_a_driver_is_told_which_half_is_missing() -> None:
    def compute_alone(name: str) -> Any:
        return Driver() if name == nvidia.DRIVER else ctypes.CDLL(f"no_such_folder/{name}")

    assert nvidia.absent(compute_alone) is None
    with pytest.raises(EngineUnavailable, match=r"^the NVIDIA driver's libnvidia-ml\.so\.1 .*=compute,utility$"):
        nvidia.gpu(compute_alone)


def test_on_windows_nobody_is_told_that_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert nvidia.absent(lambda _: Driver()) == "an NVIDIA GPU is used only on Linux"


def test_this_machine_answers() -> None:
    reason = nvidia.absent()
    assert reason is None or "NVIDIA GPU" in reason
