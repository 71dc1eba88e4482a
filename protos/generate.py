"""Generate protos/gen/python from the schemas, or check that it is up to date.

`python protos/generate.py` writes; `python protos/generate.py --check` exits 1
and names each file that is missing, stale or too many.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
GENERATED = PROTOS / "gen" / "python"


def generate(target: Path) -> None:
    """Write the message classes, service stubs and their types below target."""
    schemas = sorted((PROTOS / "blackhole").rglob("*.proto"))
    target.mkdir(parents=True, exist_ok=True)
    arguments = [
        "protoc",
        f"--proto_path={PROTOS}",
        f"--proto_path={PROTOS / 'third_party'}",
        f"--proto_path={Path(protoc.__file__).parent / '_proto'}",
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet:{target}",
        *(str(schema) for schema in schemas),
    ]
    if protoc.main(arguments) != 0:
        sys.exit("protoc refused the schemas; its reason stands above")
    for folder in {parent for module in target.rglob("*.py") for parent in module.parents}:
        if target in folder.parents:
            (folder / "__init__.py").touch()
    (target / "blackhole" / "py.typed").touch()


def content(folder: Path) -> dict[str, bytes]:
    """Return every generated file below folder by its relative path."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def stale() -> list[str]:
    """Return the paths at which the generated tree differs from a fresh one."""
    with tempfile.TemporaryDirectory() as fresh:
        generate(Path(fresh))
        wanted, found = content(Path(fresh)), content(GENERATED)
    return sorted(path for path in wanted | found if wanted.get(path) != found.get(path))


def main() -> None:
    """Generate, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if not parser.parse_args().check:
        generate(GENERATED)
    elif differing := stale():
        sys.exit(
            "generated code is not what protos/ says; run `python protos/generate.py`:\n  "
            + "\n  ".join(differing)
        )


if __name__ == "__main__":
    main()
