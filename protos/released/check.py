"""Hold the schemas against every image that was released: nothing may break.

An image is made at a release, by `buf build -o released/VERSION.binpb`, with the
packages that are promised; blackhole.conformance is a first cut and not yet among them.
"""

import subprocess
import sys
from pathlib import Path

PROTOS = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run `buf breaking` against each image; exit 1 if any finds something."""
    images = sorted(Path(__file__).parent.glob("*.binpb"))
    if not images:
        sys.exit("there is no released image to compare with")
    broken = [image.stem for image in images if _breaks(image)]
    if broken:
        sys.exit(f"breaks what was released as {', '.join(broken)}")
    print(f"breaks nothing of {', '.join(image.stem for image in images)}")


def _breaks(image: Path) -> bool:
    command = ["buf", "breaking", "--against", str(image)]
    return subprocess.run(command, cwd=PROTOS, check=False).returncode != 0  # noqa: S603


if __name__ == "__main__":
    main()
