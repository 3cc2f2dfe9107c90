from pathlib import Path

from benchmarks.machine import cpu_model


def test_processors_of_one_name_are_told_apart_by_what_they_compute(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(
        "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 avx512f avx512_bf16\n\nprocessor\t: 1\n"
    )
    assert cpu_model(info) == "AMD EPYC (AVX2, AVX-512, BF16)"
    assert cpu_model(tmp_path / "absent")
