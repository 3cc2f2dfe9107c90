"""``make test-v4l2``: capture devices for real, with no card: the kernel's virtual driver ``vivid`` in a QEMU guest.

The guest runs this machine's own files, read-only over 9p with a memory file system on top, so that it has the same
Python and the same checkout; only the kernel comes from elsewhere, Debian's package. Needs Debian's packages
``qemu-system-x86``, ``busybox-static`` and ``cpio``; no privileges and no hardware virtualisation.
"""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
BUILD = REPOSITORY / "build" / "v4l2"
META_PACKAGE = "linux-image-amd64"
NEEDED = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "vivid")
PROGRAMS = ("qemu-system-x86_64", "busybox", "cpio", "dpkg-deb", "apt-get")
VERDICT = "guest tests ended with"

INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do
    insmod /modules/$module $([ $module = vivid.ko ] && echo "n_devs=1 node_types=0x20001")
done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=1048576,cache=loose host /host
mount -t tmpfs memory /memory; mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /root
for folder in proc sys dev; do mount --move /$folder /root/$folder; done
mkdir -p /root/dev/shm; mount -t tmpfs shm /root/dev/shm
chroot /root /bin/sh -c "cd '{REPOSITORY}' && '{sys.executable}' -m pytest -p no:cacheprovider tests/v4l2/guest.py"
echo "{VERDICT} $?"
poweroff -f
"""


def main() -> int:
    """Exit code of the tests in the guest; 2 if something is missing here."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        print(f"{', '.join(missing)} missing: apt-get install qemu-system-x86 busybox-static cpio", file=sys.stderr)
        return 2
    BUILD.mkdir(parents=True, exist_ok=True)
    kernel = unpacked_kernel()
    command = [
        *("qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "2048", "-nographic", "-no-reboot"),
        *("-kernel", str(next((kernel / "boot").glob("vmlinuz-*"))), "-initrd", str(initrd(kernel))),
        *("-append", "console=ttyS0 quiet panic=-1"),
        *("-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as guest:
        assert guest.stdout is not None
        code = 1
        for line in guest.stdout:
            print(line, end="", flush=True)
            if line.startswith(VERDICT):
                code = int(line.removeprefix(VERDICT))
    return code


def unpacked_kernel() -> Path:
    """The folder of Debian's kernel package, fetched once."""
    folder = BUILD / "kernel"
    if not folder.is_dir():
        depends = subprocess.run(["apt-cache", "depends", META_PACKAGE], capture_output=True, text=True, check=True)
        package = depends.stdout.partition("Depends: ")[2].split()[0]
        subprocess.run(["apt-get", "download", package], cwd=BUILD, check=True)
        subprocess.run(["dpkg-deb", "-x", str(next(BUILD.glob("linux-image-*.deb"))), str(folder)], check=True)
    return folder


def initrd(kernel: Path) -> Path:
    """A first file system with busybox, INIT and the modules NEEDED, in an order in which they load."""
    modules = next((kernel / "lib" / "modules").iterdir())
    subprocess.run(["busybox", "depmod", "-b", str(kernel), modules.name], check=True)
    root = BUILD / "initrd"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "modules", "host", "memory", "root", "proc", "sys", "dev"):
        (root / name).mkdir(parents=True)
    shutil.copy(str(shutil.which("busybox")), root / "bin" / "busybox")
    order = load_order((modules / "modules.dep").read_text(), NEEDED)
    for path in order:
        shutil.copy(modules / path, root / "modules")
    (root / "modules" / "order").write_text("\n".join(Path(path).name for path in order) + "\n")
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names.encode(), capture_output=True, check=True
    )
    (BUILD / "initrd.gz").write_bytes(gzip.compress(archive.stdout, 1))
    return BUILD / "initrd.gz"


def load_order(dependencies: str, wanted: tuple[str, ...]) -> list[str]:
    """Paths of the ``wanted`` modules and of all that they need, each after what it needs; from a modules.dep."""
    needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in dependencies.splitlines())}
    paths = {Path(path).name.partition(".ko")[0].replace("-", "_"): path for path in needs}
    order: list[str] = []

    def add(path: str) -> None:
        for needed in reversed(needs[path]):
            add(needed)
        if path not in order:
            order.append(path)

    for name in wanted:
        add(paths[name])
    return order


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
