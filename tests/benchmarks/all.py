"""Run every benchmark, one after the other, each a process of its own: `python tests/benchmarks/all.py`.

Each prints its figures as ratios to a floor of the same run beside their targets, and ends with 1 where one is missed;
so does this, after all have run.
"""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = ("cold_start", "forms", "scans", "results", "lookups", "exports", "report", "live")


def main() -> None:
    """Run them all."""
    folder = Path(__file__).parent
    commands = {name: [sys.executable, folder / f"{name}.py"] for name in BENCHMARKS}
    missed = [name for name, command in commands.items() if subprocess.run(command, check=False).returncode]
    sys.exit(f"missed: {', '.join(missed)}" if missed else 0)


if __name__ == "__main__":
    main()
