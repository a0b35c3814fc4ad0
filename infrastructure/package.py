"""Packages the engine: one CloudFormation template and one archive, in build/.

`python -m infrastructure.package` builds both when an input has changed since the last time, and checks the archive.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import HeaderParser
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
STAGE = "engine"
MAXIMUM_BYTES = 15_000_000
INPUTS = ("app.py", "chalicelib", "requirements.txt", ".chalice/config.json", ".chalice/policy.json", "infrastructure")
# Where Lambda unpacks the archive.
TASK_ROOT = "/var/task"
# Chalice puts its own runtime beside the application.
OWN_NAMES = frozenset({"app.py", "chalicelib", "chalice"})


class PackageError(Exception):
    """The package could not be built, or holds what it must not."""


@dataclass(frozen=True)
class Package:
    """A built package: the template as Chalice wrote it, and the archive that its functions run from."""

    template_path: Path
    archive: Path

    def template(self) -> dict[str, Any]:
        """The template, parsed."""
        loaded: dict[str, Any] = json.loads(self.template_path.read_text())
        return loaded

    def digest(self) -> str:
        """A name for the archive's contents; it doesn't change with the time of building."""
        found = hashlib.sha256()
        with zipfile.ZipFile(self.archive) as archive:
            for name in sorted(archive.namelist()):
                found.update(f"{name}\0{hashlib.sha256(archive.read(name)).hexdigest()}\n".encode())
        return found.hexdigest()


def build(root: Path = ROOT, out: Path = BUILD) -> Package:
    """The checked package of the sources in `root`; builds only what has changed since the last time."""
    package = Package(out / "template.json", out / "deployment.zip")
    stamp = out / "inputs.sha256"
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out / ".lock"):
        inputs = _digest_of_inputs(root)
        if not (stamp.exists() and stamp.read_text() == inputs and package.archive.exists()):
            stamp.unlink(missing_ok=True)
            _run_chalice(root, package)
            check(package.archive, root / "requirements.txt")
            stamp.write_text(inputs)
    return package


def check(archive: Path, requirements: Path) -> None:
    """Raises PackageError when the archive is too large or holds more than the application and its dependencies."""
    size = archive.stat().st_size
    if size > MAXIMUM_BYTES:
        raise PackageError(f"{archive} has {size:,} bytes; at most {MAXIMUM_BYTES:,} are allowed")
    with zipfile.ZipFile(archive) as opened:
        dependencies = dict(_dependencies(opened))
        strange = _not_required(dependencies, requirements)
        if strange:
            raise PackageError(f"{archive} holds distributions that nothing requires: {', '.join(strange)}")
        known = {name for distribution in dependencies.values() for name in distribution.files}
        sources = ((name, _source(name)) for name in opened.namelist())
        stray = [name for name, source in sources if source.split("/")[0] not in OWN_NAMES and source not in known]
    if stray:
        raise PackageError(f"{archive} holds files that belong to no dependency: {', '.join(stray[:5])}")


@dataclass(frozen=True)
class Size:
    """Bytes, as they are in the archive and as they are unpacked."""

    packed: int
    unpacked: int


def sizes(archive: Path) -> dict[str, dict[str, Size]]:
    """Each file's size by the distribution that brought it; bytecode counts where its source does."""
    found: dict[str, dict[str, Size]] = {}
    with zipfile.ZipFile(archive) as opened:
        owners = {file: name for name, each in _dependencies(opened) for file in each.files}
        for entry in opened.infolist():
            source = _source(entry.filename)
            owner = owners.get(source, source.split("/")[0])
            found.setdefault(owner, {})[entry.filename] = Size(entry.compress_size, entry.file_size)
    return found


def _source(name: str) -> str:
    """The module that a file of bytecode was made from; any other file is its own."""
    return re.sub(r"__pycache__/([^/]+)\.cpython-\d+\.pyc$", r"\1.py", name)


@dataclass(frozen=True)
class _Distribution:
    requires: frozenset[str]
    files: frozenset[str]


def _dependencies(archive: zipfile.ZipFile) -> Iterator[tuple[str, _Distribution]]:
    names = archive.namelist()
    for record in (name for name in names if name.endswith(".dist-info/RECORD")):
        folder = record.rpartition("/")[0]
        metadata = HeaderParser().parsestr(archive.read(f"{folder}/METADATA").decode())
        rows = archive.read(record).decode().splitlines()
        # A name with a comma would be quoted; no dependency has one, and it would be reported as stray.
        files = frozenset(row.split(",", 1)[0] for row in rows)
        requires = frozenset(_normal(line) for line in metadata.get_all("Requires-Dist", []))
        yield _normal(metadata["Name"]), _Distribution(requires, files)


def _not_required(dependencies: dict[str, _Distribution], requirements: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in requirements.read_text().splitlines())
    wanted = {_normal(line) for line in lines if line}
    reached: set[str] = set()
    while wanted:
        name = wanted.pop()
        reached.add(name)
        if name in dependencies:
            wanted |= dependencies[name].requires - reached
    return sorted(dependencies.keys() - reached)


def _normal(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", name.group()).lower() if name else requirement


def _run_chalice(root: Path, package: Package) -> None:
    with tempfile.TemporaryDirectory(dir=package.archive.parent) as fresh:
        merge = root / "infrastructure" / "resources.json"
        command = [sys.executable, "-c", "import sys; from chalice.cli import main; sys.exit(main())", "package"]
        command += ["--stage", STAGE, "--merge-template", str(merge), fresh]
        # Chalice asks for a region although a package has none.
        environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ}
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PackageError(f"chalice package failed:\n{done.stdout}{done.stderr}")
        whole = Path(fresh) / "compiled.zip"
        _compile(Path(fresh) / "deployment.zip", whole)
        shutil.move(Path(fresh) / "sam.json", package.template_path)
        shutil.move(whole, package.archive)


def _compile(chosen: Path, archive: Path) -> None:
    """Writes an archive of the same sources, each module with bytecode that any time of its source fits.

    A function's directory is read-only: what came without bytecode would be compiled again at every cold start. What
    Chalice found of it in the working tree fits neither the sources nor their times.
    """
    with tempfile.TemporaryDirectory(dir=archive.parent) as unpacked, zipfile.ZipFile(chosen) as opened:
        sources = [entry for entry in opened.infolist() if not entry.filename.endswith(".pyc")]
        opened.extractall(unpacked, [entry.filename for entry in sources])
        command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
        command += ["-s", unpacked, "-p", TASK_ROOT, unpacked]
        # Bytecode holds sets in their order, which is otherwise of a process's own.
        same_order = {"PYTHONHASHSEED": "0"}
        done = subprocess.run(command, env=same_order, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PackageError(f"compiling failed:\n{done.stdout}{done.stderr}")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
            for entry in sources:
                written.writestr(entry, opened.read(entry), zipfile.ZIP_DEFLATED)
            for path in sorted(Path(unpacked).rglob("*.pyc")):
                compiled = zipfile.ZipInfo(path.relative_to(unpacked).as_posix())
                compiled.external_attr = 0o644 << 16
                written.writestr(compiled, path.read_bytes(), zipfile.ZIP_DEFLATED)


def _digest_of_inputs(root: Path) -> str:
    found = hashlib.sha256(f"python {sys.version_info[:2]} chalice {version('chalice')}".encode())
    for path in sorted(_files(root)):
        found.update(f"{path.relative_to(root)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    for name in INPUTS:
        path = root / name
        found = path.rglob("*") if path.is_dir() else [path]
        yield from (each for each in found if each.is_file() and "__pycache__" not in each.parts)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Builds and prints what was built."""
    try:
        package = build()
    except PackageError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{package.template_path.relative_to(ROOT)}  {package.template_path.stat().st_size:,} bytes")
    print(f"{package.archive.relative_to(ROOT)}  {package.archive.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
